/*
 * finding.c - what a check found (see finding.h)
 */
#include "check/finding.h"

#include "base/mem.h"
#include "cli/json_text.h"
#include "message/queue_id.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

void
findings_init(struct findings *findings)
{
	*findings = (struct findings) { 0 };
	TAILQ_INIT(&findings->list);
}

void
findings_done(struct findings *findings)
{
	struct finding *finding;

	while ((finding = TAILQ_FIRST(&findings->list)) != NULL) {
		TAILQ_REMOVE(&findings->list, finding, link);
		mem_free(finding);
	}
	findings_init(findings);
}

void
findings_add(struct findings *findings, enum finding_kind kind, const char *file, uint64_t offset,
	uint64_t queue_id, const char *what, const char *repair)
{
	struct finding *finding = MEM_NEW(struct finding);
	const struct finding *other = TAILQ_LAST(&findings->list, finding_list);

	finding->kind = kind;
	finding->offset = offset;
	finding->queue_id = queue_id;
	(void)snprintf(finding->file, sizeof(finding->file), "%s", file != NULL ? file : "");
	(void)snprintf(finding->what, sizeof(finding->what), "%.*s", FINDING_TEXT - 1,
		json_text_clean(what).text);
	(void)snprintf(finding->repair, sizeof(finding->repair), "%s", repair);
	if (other != NULL && other->offset == offset && other->queue_id == queue_id
		&& strcmp(other->file, finding->file) == 0
		&& strcmp(other->what, finding->what) == 0) {
		mem_free(finding);
		return;
	}
	TAILQ_INSERT_TAIL(&findings->list, finding, link);
	findings->notes += kind == FINDING_NOTE;
	findings->problems += kind == FINDING_PROBLEM;
	findings->advices += kind == FINDING_ADVICE;
}

static void
finding_print_text(const struct finding *finding, bool is_repaired)
{
	char id[QUEUE_ID_TEXT_SIZE];

	if (finding->file[0] != '\0')
		(void)printf("%s", json_text_clean(finding->file).text);
	if (finding->offset != FINDING_NO_OFFSET)
		(void)printf(" at %" PRIu64, finding->offset);
	if (finding->queue_id != 0)
		(void)printf("%smessage %" SLICE_FMT, finding->file[0] != '\0' ? ", " : "",
			SLICE_ARG(queue_id_format(finding->queue_id, id)));
	(void)printf("%s%s", finding->file[0] != '\0' || finding->queue_id != 0 ? ": " : "",
		finding->what);
	if (finding->kind == FINDING_NOTE)
		(void)printf(" (nothing is wrong)");
	else if (finding->repair[0] != '\0')
		(void)printf("; %s%s",
			finding->kind == FINDING_ADVICE ? ""
			: is_repaired			? "repaired: "
							: "--repair: ",
			finding->repair);
	(void)printf("\n");
}

static void
finding_print_json(const struct finding *finding)
{
	static const char *const kinds[] = { "note", "problem", "advice" };
	char id[QUEUE_ID_TEXT_SIZE];
	json_t *object = json_object();

	(void)json_object_set_new(object, "kind", json_string(kinds[finding->kind]));
	(void)json_object_set_new(
		object, "file", json_string(json_text_clean(finding->file).text));
	if (finding->offset != FINDING_NO_OFFSET)
		(void)json_object_set_new(
			object, "offset", json_integer((json_int_t)finding->offset));
	if (finding->queue_id != 0) {
		(void)queue_id_format(finding->queue_id, id);
		(void)json_object_set_new(object, "queue_id", json_string(id));
	}
	(void)json_object_set_new(object, "what", json_string(finding->what));
	(void)json_object_set_new(object, "repair", json_string(finding->repair));
	(void)json_dumpf(object, stdout, JSON_COMPACT);
	(void)printf("\n");
	json_decref(object);
}

void
findings_print(const struct findings *findings, bool as_json, bool is_repaired)
{
	const struct finding *finding;

	TAILQ_FOREACH(finding, &findings->list, link)
	{
		if (as_json)
			finding_print_json(finding);
		else
			finding_print_text(finding, is_repaired);
	}
}
