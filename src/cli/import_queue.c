/*
 * import_queue.c - what an import asks of the queue manager (see import_queue.h)
 */
#include "cli/import_queue.h"

#include "base/mem.h"
#include "cli/control_client.h"

#include <jansson.h>
#include <stdio.h>
#include <sysexits.h>

enum { IMPORT_QUEUE_IDS_MAX = 20000 };

struct import_queue_answer {
	struct cli *cli;
	struct import_ledger *ledger;
	struct buf last; /* the last line, which may be a refusal's words */
	struct buf twice;
};

static int
import_queue_ask(struct import_queue_answer *answer, const char *command, const char *const *words,
	size_t count, control_client_line_fn *fn)
{
	int exit_code = control_client_run(answer->cli, command, words, count, fn, answer);
	struct slice last = buf_slice(&answer->last);

	if (exit_code != EX_OK && last.len > 0 && last.ptr[0] != '{')
		return cli_complain(answer->cli, exit_code, "%" SLICE_FMT, SLICE_ARG(last));
	return exit_code;
}

static void
import_queue_last(void *ctx, struct slice line, bool is_final)
{
	struct import_queue_answer *answer = ctx;

	(void)is_final;
	buf_clear(&answer->last);
	if (buf_append(&answer->last, line) < 0)
		buf_clear(&answer->last);
}

int
import_queue_epoch(struct cli *cli, char ret_epoch[IMPORT_QUEUE_EPOCH_SIZE])
{
	struct import_queue_answer answer = { .cli = cli };
	json_t *object;
	const char *epoch;
	int exit_code;

	buf_init(&answer.last, 0);
	exit_code = import_queue_ask(&answer, "status", NULL, 0, import_queue_last);
	if (exit_code == EX_OK) {
		object = json_loadb((const char *)answer.last.ptr, answer.last.len, 0, NULL);
		epoch = json_string_value(json_object_get(object, "epoch"));
		if (epoch != NULL)
			(void)snprintf(ret_epoch, IMPORT_QUEUE_EPOCH_SIZE, "%s", epoch);
		else
			exit_code = cli_complain(cli, EX_PROTOCOL,
				"the queue manager's answer is not understood");
		json_decref(object);
	}
	buf_done(&answer.last);
	return exit_code;
}

/* --- looking for keys ----------------------------------------------------------------------- */

static void
import_queue_message(struct import_queue_answer *answer, const json_t *message)
{
	const char *key = json_string_value(json_object_get(message, "import_key"));
	const char *id = json_string_value(json_object_get(message, "queue_id"));
	const char *name = json_string_value(json_object_get(message, "queue_name"));
	struct import_ledger_entry *entry =
		key == NULL || id == NULL ? NULL : import_ledger_find(answer->ledger, key);

	if (entry == NULL)
		return;
	if (entry->state == IMPORT_LEDGER_BEGUN)
		import_ledger_keep(answer->ledger, entry, id);
	else if (entry->state == IMPORT_LEDGER_KEPT && strcmp(entry->id, id) != 0 && name != NULL
		 && strcmp(name, "hold") == 0)
		buf_addf(&answer->twice, "%s ", id);
}

static void
import_queue_line(void *ctx, struct slice line, bool is_final)
{
	struct import_queue_answer *answer = ctx;
	json_t *message;

	import_queue_last(ctx, line, is_final);
	if (memmem(line.ptr, line.len, "\"import_key\"", 12) == NULL)
		return;
	message = json_loadb((const char *)line.ptr, line.len, 0, NULL);
	import_queue_message(answer, message);
	json_decref(message);
}

int
import_queue_find(struct import_ledger *ledger)
{
	struct import_queue_answer answer = { .cli = ledger->cli, .ledger = ledger };
	int exit_code;

	buf_init(&answer.last, 0);
	buf_init(&answer.twice, 0);
	exit_code = import_queue_ask(&answer, "queue", NULL, 0, import_queue_line);
	if (exit_code == EX_OK)
		exit_code = import_ledger_flush(ledger);
	if (exit_code == EX_OK && answer.twice.len > 0)
		exit_code = import_queue_change(ledger->cli, "delete", buf_slice(&answer.twice));
	buf_done(&answer.last);
	buf_done(&answer.twice);
	return exit_code;
}

/* --- changes -------------------------------------------------------------------------------- */

static int
import_queue_some(struct cli *cli, const char *command, struct slice *ids)
{
	struct import_queue_answer answer = { .cli = cli };
	const char **words = mem_array(IMPORT_QUEUE_IDS_MAX, sizeof(*words));
	struct slice word;
	size_t count = 0;
	int exit_code = EX_OK;

	buf_init(&answer.last, 0);
	while (count < IMPORT_QUEUE_IDS_MAX && slice_word(ids, " ", &word))
		words[count++] = mem_strndup((const char *)word.ptr, word.len);
	if (count > 0)
		exit_code = import_queue_ask(&answer, command, words, count, import_queue_last);
	for (size_t i = 0; i < count; i++)
		mem_free((char *)(uintptr_t)words[i]);
	mem_free(words);
	buf_done(&answer.last);
	return exit_code;
}

int
import_queue_change(struct cli *cli, const char *command, struct slice ids)
{
	int exit_code = EX_OK;

	while (exit_code == EX_OK && ids.len > 0)
		exit_code = import_queue_some(cli, command, &ids);
	return exit_code;
}
