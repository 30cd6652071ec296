/*
 * compile_template.c - the file of report templates becomes a table of texts (see compile_priv.h)
 *
 *	failure_template = <<EOF
 *	Charset: us-ascii
 *	Subject: Undelivered Mail
 *
 *	This is the mail system at host $myhostname. ...
 *	EOF
 *
 * Names in the text are expanded here, so that no process reads files or expands anything later;
 * $delay_warning_time_hours and the like give times in units. Keys of the table are the template's
 * name for the text, lines in CRLF, and "failure_template subject" for its fields (rule N49).
 */
#include "config/compile_priv.h"

#include "base/ascii.h"
#include "config/expand.h"
#include "config/table.h"
#include "config/text_file.h"

enum { TEMPLATE_FILE_MAX = 1024 * 1024, TEMPLATE_TEXT_MAX = 32 * 1024 };

static const char *const template_names[] = { "failure_template", "delay_template",
	"success_template", "verify_template" };
static const char *const template_fields[] = { "charset", "from", "subject",
	"postmaster-subject" };

struct template {
	struct compile_scope *scope;
	struct fault *fault;
	struct origin origin; /* of the line at hand */
	struct slice rest;    /* lines not read yet */
	struct table *table;
	uint32_t started; /* bit per template: it was there already */
	const char *name; /* of the template at hand */
	bool is_ascii;    /* its charset is not given, or is us-ascii */
	struct buf number; /* of a scaled time, for the duration of an expansion */
	struct buf unknown; /* a name that nothing has */
};

static enum err
template_bad(const struct template *template, const char *what, struct slice word,
	const char *allowed)
{
	return fault_set(template->fault, ERR_CONFIG, "%s: %s \"%s\" (allowed: %s)",
		origin_text(template->origin).text, what, origin_value(word).text, allowed);
}

static struct slice
template_trim(struct slice text)
{
	while (text.len > 0 && ascii_is_space(text.ptr[0]))
		text = slice_from(text, 1);
	while (text.len > 0 && ascii_is_space(text.ptr[text.len - 1]))
		text.len--;
	return text;
}

/* Without its line end; false: the file has ended. */
static bool
template_line(struct template *template, struct slice *ret_line)
{
	size_t end = slice_find(template->rest, '\n');
	struct slice line = slice_head(template->rest, end);

	if (template->rest.len == 0)
		return false;
	template->rest = slice_from(template->rest, end + 1);
	template->origin.line++;
	if (line.len > 0 && line.ptr[line.len - 1] == '\r')
		line.len--;
	*ret_line = line;
	return true;
}

/* --- names ------------------------------------------------------------------------------------ */

/* "delay_warning_time_hours": the time as a number of that unit, rounded down. */
static bool
template_scale(struct template *template, struct slice name, struct slice *ret_text)
{
	static const struct {
		const char *suffix;
		uint64_t seconds;
	} units[] = { { "_seconds", 1 }, { "_minutes", 60 }, { "_hours", 3600 },
		{ "_days", 86400 }, { "_weeks", 604800 } };
	static const enum param_id times[] = { PARAM_DELAY_WARNING_TIME,
		PARAM_MAXIMAL_QUEUE_LIFETIME };

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		struct slice base = slice_str(param_get(times[i])->name);
		struct value_source source = { .param = param_get(times[i]),
			.name = param_get(times[i])->name,
			.time_unit = param_time_unit(times[i]) };
		struct slice raw;
		struct buf text;
		uint64_t number = 0;
		enum err err;

		if (!slice_starts(name, base))
			continue;
		for (size_t unit = 0; unit < sizeof(units) / sizeof(units[0]); unit++) {
			if (!slice_equal_str(slice_from(name, base.len), units[unit].suffix))
				continue;
			buf_init(&text, COMPILE_TEXT_MAX);
			err = compile_find(template->scope, base, &raw, &source.origin);
			if (err == ERR_OK)
				err = compile_expand(template->scope, &source, raw, &text);
			if (err == ERR_OK)
				err = value_parse(&source, template_trim(buf_slice(&text)), &number,
					template->fault);
			buf_done(&text);
			if (err != ERR_OK)
				return false;
			buf_clear(&template->number);
			buf_addf(&template->number, "%llu",
				(unsigned long long)(number / units[unit].seconds));
			*ret_text = buf_slice(&template->number);
			return true;
		}
	}
	return false;
}

static enum err
template_find(void *ctx, struct slice name, struct slice *ret_text)
{
	struct template *template = ctx;
	struct origin unused;

	if (template_scale(template, name, ret_text))
		return ERR_OK;
	if (compile_find(template->scope, name, ret_text, &unused) == ERR_OK)
		return ERR_OK;
	if (template->unknown.len == 0)
		buf_add(&template->unknown, name);
	return ERR_NOTFOUND;
}

/* --- lines ------------------------------------------------------------------------------------ */

static bool
template_has_8bit(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] >= 128)
			return true;
	return false;
}

static enum err
template_put(struct template *template, const char *field, struct slice value)
{
	struct buf key;
	enum err err;

	buf_init(&key, 0);
	buf_addf(&key, "%s%s%s", template->name, field != NULL ? " " : "",
		field != NULL ? field : "");
	err = table_put(template->table, buf_slice(&key), value);
	buf_done(&key);
	return err < 0 ? fault_set(template->fault, err, "%s: the templates are too long",
				 origin_text(template->origin).text)
		       : ERR_OK;
}

/* A field of the block on top. */
static enum err
template_field(struct template *template, struct slice line)
{
	size_t colon = slice_find(line, ':');
	struct slice name = slice_head(line, colon);
	struct slice value = template_trim(slice_from(line, colon + 1));

	if (template_has_8bit(value) || value.len == 0)
		return template_bad(template, "bad value of a template's field", line,
			"ASCII, not empty");
	for (size_t i = 0; i < sizeof(template_fields) / sizeof(template_fields[0]); i++) {
		if (!slice_equal_nocase_str(name, template_fields[i]))
			continue;
		if (i == 0)
			template->is_ascii = slice_equal_nocase_str(value, "us-ascii");
		return template_put(template, template_fields[i], value);
	}
	return template_bad(template, "unknown field of a template", name,
		"Charset, From, Subject, Postmaster-Subject, then an empty line");
}

static bool
template_is_field(struct slice line)
{
	size_t colon = slice_find(line, ':');

	for (size_t i = 0; i < colon && i < line.len; i++)
		if (!ascii_is_alnum(line.ptr[i]) && line.ptr[i] != '-')
			return false;
	return colon > 0 && colon < line.len;
}

static enum err
template_text_line(struct template *template, struct slice line, struct buf *text)
{
	struct fault fault;
	enum err err;

	if (template->is_ascii && template_has_8bit(line))
		return template_bad(template, "8-bit text in a template without a Charset", line,
			"Charset: utf-8 or another in the first lines");
	buf_clear(&template->unknown);
	err = expand_text(line, template_find, template, text, &fault);
	if (err < 0)
		return fault_set(template->fault, err, "%s: %s: %.200s",
			origin_text(template->origin).text, template->name, fault.text);
	if (template->unknown.len > 0)
		return template_bad(template, "unknown name in a template",
			buf_slice(&template->unknown),
			"parameters, and delay_warning_time_UNIT, maximal_queue_lifetime_UNIT");
	if (text->len > TEMPLATE_TEXT_MAX)
		return template_bad(template, "too long text of", slice_str(template->name),
			"32768 bytes");
	return buf_append_str(text, "\r\n");
}

/* From behind "name = <<END" to the line END. */
static enum err
template_body(struct template *template, struct slice end)
{
	struct origin begin = template->origin;
	bool in_fields = true;
	struct slice line;
	struct buf text;
	enum err err = ERR_OK;

	buf_init(&text, 0);
	template->is_ascii = true;
	for (;;) {
		if (!template_line(template, &line)) {
			template->origin = begin;
			err = template_bad(template, "no end of a template", end,
				"that word alone on a line");
			break;
		}
		if (slice_equal(line, end)) {
			err = template_put(template, NULL, buf_slice(&text));
			break;
		}
		if (in_fields && template_is_field(line)) {
			err = template_field(template, line);
		} else {
			/* The empty line behind the fields is not part of the text. */
			if (!in_fields || line.len > 0)
				err = template_text_line(template, line, &text);
			in_fields = false;
		}
		if (err != ERR_OK)
			break;
	}
	buf_done(&text);
	return err;
}

static enum err
template_start(struct template *template, struct slice line)
{
	static const char allowed[] = "failure_template, delay_template, success_template, "
				      "verify_template, each once, as NAME = <<END";
	size_t equals = slice_find(line, '=');
	struct slice name = template_trim(slice_head(line, equals));
	struct slice end = template_trim(slice_from(line, equals + 1));

	for (size_t i = 0; i < sizeof(template_names) / sizeof(template_names[0]); i++) {
		if (!slice_equal_str(name, template_names[i]))
			continue;
		if ((template->started & 1u << i) != 0 || !slice_starts(end, SLICE_LIT("<<")))
			break;
		end = template_trim(slice_from(end, 2));
		if (end.len == 0)
			break;
		template->started |= 1u << i;
		template->name = template_names[i];
		return template_body(template, end);
	}
	return template_bad(template, "bad template", line, allowed);
}

static enum err
template_parse(struct template *template)
{
	struct slice line;
	enum err err = ERR_OK;

	while (err == ERR_OK && template_line(template, &line)) {
		line = template_trim(line);
		if (line.len > 0 && line.ptr[0] != '#')
			err = template_start(template, line);
	}
	return err;
}

enum err
compile_templates(struct compile *compile, const struct value_source *source, struct slice path,
	uint32_t *ret_object)
{
	struct compile_scope scope = { compile, NULL };
	struct table table;
	struct template template = { .scope = &scope, .fault = compile->reterr_fault,
		.table = &table };
	struct image_item item = { .kind = IMAGE_ITEM_TABLE, .text = path };
	struct buf file, name;
	const char *shown;
	enum err err;

	if (path.len == 0)
		return ERR_OK;
	buf_init(&file, (size_t)TEMPLATE_FILE_MAX + 128 * 1024);
	buf_init(&name, 0);
	buf_init(&template.number, 0);
	buf_init(&template.unknown, 0);
	table_init(&table);
	buf_add(&name, path);
	err = buf_cstr(&name, &shown);
	if (err < 0)
		(void)fault_set(compile->reterr_fault, err, "%s: bad file name",
			origin_text(source->origin).text);
	if (err == ERR_OK)
		err = text_file_read(compile->directory_fd, shown, shown, TEMPLATE_FILE_MAX, &file,
			compile->reterr_fault);
	if (err == ERR_OK) {
		template.origin = (struct origin) { shown, 0 };
		template.rest = buf_slice(&file);
		err = template_parse(&template);
	}
	if (err == ERR_OK) {
		err = image_add_table(&compile->image, &table, &item.table);
		if (err == ERR_OK)
			err = image_add_object(&compile->image, &item, 1, ret_object);
		if (err < 0)
			(void)fault_set(compile->reterr_fault, err, "%s: %s: too long",
				origin_text(source->origin).text, source->name);
	}
	table_done(&table);
	buf_done(&template.unknown);
	buf_done(&template.number);
	buf_done(&name);
	buf_done(&file);
	return err;
}
