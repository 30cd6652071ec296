/*
 * compile_value.c - settings become rows of values (see compile_priv.h)
 */
#include "config/compile_priv.h"

#include "base/ascii.h"
#include "base/check.h"
#include "base/mem.h"
#include "config/expand.h"
#include "config/word.h"

static const char compile_default_file[] = "built-in default";

static enum err
compile_found(struct main_cf_entry *entry, struct slice *ret_text, struct origin *ret_origin)
{
	entry->is_used = true;
	*ret_text = slice_str(entry->value);
	*ret_origin = entry->origin;
	return ERR_OK;
}

enum err
compile_find(const struct compile_scope *scope, struct slice name, struct slice *ret_text,
	struct origin *ret_origin)
{
	struct compile *compile = scope->compile;
	enum param_id id = param_find(name);
	struct main_cf_entry *entry;
	const char *text = NULL;

	entry = scope->settings != NULL ? main_cf_find(scope->settings, name) : NULL;
	if (entry == NULL)
		entry = main_cf_find(&compile->main_cf, name);
	/* Set to nothing, these two still mean the machine's. */
	if (entry != NULL && entry->value[0] == '\0'
		&& (id == PARAM_MYHOSTNAME || id == PARAM_MYDOMAIN))
		entry = NULL;
	if (entry != NULL)
		return compile_found(entry, ret_text, ret_origin);
	if (id == PARAM_MYHOSTNAME)
		text = compile->hostname;
	else if (id == PARAM_MYDOMAIN)
		text = compile->mydomain;
	else if (id < PARAM_COUNT)
		text = param_get(id)->text;
	else if (slice_equal_str(name, "machine_name"))
		text = compile->options->hostname;
	if (text == NULL)
		return ERR_NOTFOUND;
	*ret_text = slice_str(text);
	*ret_origin = (struct origin) { compile_default_file, 0 };
	return ERR_OK;
}

static enum err
compile_expand_find(void *ctx, struct slice name, struct slice *ret_text)
{
	struct origin unused;

	return compile_find(ctx, name, ret_text, &unused);
}

enum err
compile_expand(const struct compile_scope *scope, const struct value_source *source,
	struct slice text, struct buf *out)
{
	struct compile_scope copy = *scope;
	struct fault fault;
	enum err err;

	err = expand_text(text, compile_expand_find, &copy, out, &fault);
	if (err < 0)
		return fault_set(scope->compile->reterr_fault, err, "%s: parameter %s: %.200s",
			origin_text(source->origin).text, source->name, fault.text);
	return ERR_OK;
}

/* Letters, digits, hyphens and underscores between dots. */
static enum err
compile_check_hostname(
	const struct value_source *source, struct slice text, struct fault *reterr_fault)
{
	bool is_good = text.len > 0 && text.len <= 255 && text.ptr[text.len - 1] != '.';
	uint8_t last = '.';

	for (size_t i = 0; i < text.len; i++) {
		uint8_t byte = text.ptr[i];

		is_good = is_good && (byte != '.' || last != '.')
			  && (ascii_is_alnum(byte) || byte == '-' || byte == '_' || byte == '.');
		last = byte;
	}
	if (is_good)
		return ERR_OK;
	return fault_set(reterr_fault, ERR_CONFIG,
		"%s: bad host name: %s = %s (allowed: letters, digits and - between dots)",
		origin_text(source->origin).text, source->name, origin_value(text).text);
}

static enum err
compile_check_not_empty(
	const struct value_source *source, struct slice text, struct fault *reterr_fault)
{
	if (text.len > 0)
		return ERR_OK;
	return fault_set(reterr_fault, ERR_CONFIG, "%s: %s is empty (allowed: any text but that)",
		origin_text(source->origin).text, source->name);
}

static enum err
compile_check_maildir(
	const struct value_source *source, struct slice text, struct fault *reterr_fault)
{
	struct slice rest = text;
	struct slice word;
	bool is_good = text.len == 0 || (text.ptr[0] != '/' && text.ptr[text.len - 1] == '/');

	while (is_good && slice_word(&rest, "/", &word))
		is_good = !slice_equal_str(word, "..");
	if (is_good)
		return ERR_OK;
	return fault_set(reterr_fault, ERR_CONFIG,
		"%s: bad mailbox: %s = %s (allowed: a relative path that ends in / and has no ..)",
		origin_text(source->origin).text, source->name, origin_value(text).text);
}

static enum err
compile_check_addresses(
	const struct value_source *source, struct slice text, struct fault *reterr_fault)
{
	bool is_interfaces = source->param == param_get(PARAM_INET_INTERFACES);
	struct slice rest = text;
	struct slice word;
	struct net net;

	while (slice_word(&rest, WORD_LIST_SEPARATORS, &word)) {
		if (is_interfaces
			&& (slice_equal_nocase_str(word, "all")
				|| slice_equal_nocase_str(word, "loopback-only")
				|| slice_equal_nocase_str(word, "localhost")))
			continue;
		if (net_parse(word, &net) == ERR_OK && slice_find(word, '/') == word.len)
			continue;
		if (!is_interfaces && value_check_endpoint(source, word, NULL) == ERR_OK)
			continue;
		return fault_set(reterr_fault, ERR_CONFIG,
			"%s: bad address \"%s\" in %s (allowed: %s)",
			origin_text(source->origin).text, origin_value(word).text, source->name,
			is_interfaces ? "all, loopback-only, addresses"
				      : "address, address:port, [address]:port");
	}
	return ERR_OK;
}

/* What the types cannot say. */
static enum err
compile_check_value(enum param_id id, const struct value_source *source, struct slice text,
	uint64_t number, struct fault *reterr_fault)
{
	struct net net;

	switch ((int)id) {
	case PARAM_MYHOSTNAME:
	case PARAM_MYDOMAIN:
		return compile_check_hostname(source, text, reterr_fault);
	case PARAM_QUEUE_DIRECTORY:
	case PARAM_MAIL_SPOOL_DIRECTORY:
	case PARAM_MAIL_OWNER:
	case PARAM_SYSLOG_NAME:
	case PARAM_MYORIGIN:
	case PARAM_SUBMIT_SOCKET:
	case PARAM_CONTROL_SOCKET:
	case PARAM_DOUBLE_BOUNCE_SENDER:
	case PARAM_SMTP_HELO_NAME:
	case PARAM_DEFAULT_TRANSPORT:
	case PARAM_LOCAL_TRANSPORT:
	case PARAM_RELAY_TRANSPORT:
		return compile_check_not_empty(source, text, reterr_fault);
	case PARAM_HOME_MAILBOX:
		return compile_check_maildir(source, text, reterr_fault);
	case PARAM_ADMIN_LISTEN:
		return value_check_endpoint(source, text, reterr_fault);
	case PARAM_INET_INTERFACES:
	case PARAM_RESOLVER_NAMESERVERS:
		return compile_check_addresses(source, text, reterr_fault);
	case PARAM_SMTP_BIND_ADDRESS:
	case PARAM_SMTP_BIND_ADDRESS6:
		if (text.len == 0
			|| (net_parse(text, &net) == ERR_OK && slice_find(text, '/') == text.len
				&& net.family == (id == PARAM_SMTP_BIND_ADDRESS ? 4 : 6)))
			return ERR_OK;
		return fault_set(reterr_fault, ERR_CONFIG,
			"%s: bad address: %s = %s (allowed: an IPv%c address, or nothing)",
			origin_text(source->origin).text, source->name, origin_value(text).text,
			id == PARAM_SMTP_BIND_ADDRESS ? '4' : '6');
	case PARAM_DEFAULT_DESTINATION_CONCURRENCY_POSITIVE_FEEDBACK:
	case PARAM_DEFAULT_DESTINATION_CONCURRENCY_NEGATIVE_FEEDBACK:
		return value_check_feedback(source, text, reterr_fault);
	case PARAM_DEFAULT_DESTINATION_RATE_LIMIT:
	case PARAM_DEFAULT_DESTINATION_RECIPIENT_RATE_LIMIT:
		return value_check_rate(source, text, reterr_fault);
	case PARAM_REPLY_REACTIONS:
	case PARAM_STANDARD_REPLY_REACTIONS:
		return value_check_reactions(source, text, reterr_fault);
	case PARAM_JOURNAL_SEGMENT_SIZE:
		if (number % (1024 * 1024) == 0)
			return ERR_OK;
		return fault_set(reterr_fault, ERR_CONFIG,
			"%s: bad size: %s = %s (allowed: multiples of 1048576)",
			origin_text(source->origin).text, source->name, origin_value(text).text);
	default:
		return ERR_OK;
	}
}

static bool
compile_has_object(enum param_type type)
{
	return type == PARAM_TYPE_STRINGS || type == PARAM_TYPE_DOMAINS || type == PARAM_TYPE_NETS
	       || type == PARAM_TYPE_MAPS;
}

/* Parses an expanded text and puts it into the image; `same` is shared if its text is equal. */
static enum err
compile_value(struct compile *compile, enum param_id id, const struct value_source *source,
	struct slice text, const struct image_value *same, struct image_value *ret_value)
{
	struct fault *fault = compile->reterr_fault;
	struct image_value value = { .object = IMAGE_NONE };
	enum err err;

	while (text.len > 0 && ascii_is_space(text.ptr[0]))
		text = slice_from(text, 1);
	while (text.len > 0 && ascii_is_space(text.ptr[text.len - 1]))
		text.len--;
	if (same != NULL
		&& slice_equal(text,
			slice_make(compile->image.bytes->ptr + same->text.at, same->text.len))) {
		*ret_value = *same;
		return ERR_OK;
	}
	err = value_parse(source, text, &value.number, fault);
	if (err == ERR_OK)
		err = compile_check_value(id, source, text, value.number, fault);
	if (err == ERR_OK && compile_has_object(source->param->type))
		err = compile_list(compile, source, text, &value.object);
	if (err == ERR_OK && source->param->type == PARAM_TYPE_TEMPLATES)
		err = compile_templates(compile, source, text, &value.object);
	if (err < 0)
		return err;
	err = image_put_text(&compile->image, text, &value.text);
	if (err < 0)
		return fault_set(fault, err, "%s: parameter %s: the configuration is too long",
			origin_text(source->origin).text, source->name);
	*ret_value = value;
	return ERR_OK;
}

enum err
compile_row(struct compile *compile, struct main_cf *settings, uint32_t *ret_row)
{
	struct compile_scope scope = { compile, settings };
	uint32_t row;
	struct buf text;
	enum err err = image_add_row(&compile->image, &row);

	buf_init(&text, COMPILE_TEXT_MAX);
	for (unsigned i = 0; err == ERR_OK && i < PARAM_COUNT; i++) {
		enum param_id id = (enum param_id)i;
		struct value_source source = { .param = param_get(id),
			.name = param_get(id)->name };
		struct slice raw;

		if (source.param->type == PARAM_TYPE_TIME)
			source.time_unit = param_time_unit(id);
		err = compile_find(&scope, slice_str(source.name), &raw, &source.origin);
		CHECK(err == ERR_OK);
		buf_clear(&text);
		err = compile_expand(&scope, &source, raw, &text);
		if (err == ERR_OK)
			err = compile_value(compile, id, &source, buf_slice(&text),
				row > 0 ? &image_row(&compile->image, 0)[i] : NULL,
				&image_row(&compile->image, row)[i]);
	}
	buf_done(&text);
	*ret_row = row;
	return err;
}

/* One form of a transport: *ret_is_set tells whether main.cf has it. */
static enum err
compile_transport_value(struct compile *compile, enum param_id id, const char *name,
	struct image_value *ret_value, bool *ret_is_set)
{
	struct compile_scope scope = { compile, NULL };
	struct value_source source = { .param = param_get(id), .name = name, .time_unit = 's' };
	enum param_id own = param_find(slice_str(name));
	struct slice raw;
	struct buf text;
	enum err err;

	*ret_is_set = true;
	if (own < PARAM_COUNT) { /* local_destination_recipient_limit and its like */
		*ret_value = image_row(&compile->image, 0)[own];
		return ERR_OK;
	}
	if (compile_find(&scope, slice_str(name), &raw, &source.origin) < 0) {
		*ret_is_set = false;
		return ERR_OK;
	}
	buf_init(&text, COMPILE_TEXT_MAX);
	err = compile_expand(&scope, &source, raw, &text);
	if (err == ERR_OK)
		err = compile_value(compile, id, &source, buf_slice(&text), NULL, ret_value);
	buf_done(&text);
	return err;
}

enum err
compile_transport_row(struct compile *compile, struct slice transport, uint32_t *ret_row)
{
	uint32_t row = 0;
	struct buf name;
	enum err err = ERR_OK;

	buf_init(&name, 0);
	for (unsigned i = 0; err == ERR_OK && i < PARAM_COUNT; i++) {
		const char *suffix = param_transport_suffix((enum param_id)i);
		struct image_value value = { .object = IMAGE_NONE };
		const char *full;
		bool is_set = false;

		if (suffix == NULL)
			continue;
		buf_clear(&name);
		err = buf_printf(&name, "%" SLICE_FMT "_%s", SLICE_ARG(transport), suffix);
		if (err == ERR_OK)
			err = buf_cstr(&name, &full);
		if (err < 0) {
			(void)fault_set(
				compile->reterr_fault, err, "a transport's name is too long");
			break;
		}
		err = compile_transport_value(compile, (enum param_id)i, full, &value, &is_set);
		if (err < 0 || !is_set)
			continue;
		if (row == 0) {
			err = image_add_row(&compile->image, &row);
			memcpy(image_row(&compile->image, row), image_row(&compile->image, 0),
				PARAM_COUNT * sizeof(struct image_value));
		}
		image_row(&compile->image, row)[i] = value;
	}
	buf_done(&name);
	*ret_row = row;
	return err;
}

static char *
compile_text(const char *first, const char *second)
{
	struct buf text;
	char *copy;

	buf_init(&text, 0);
	buf_addf(&text, "%s%s", first, second);
	copy = mem_strndup((const char *)text.ptr, text.len);
	buf_done(&text);
	return copy;
}

enum err
compile_hostname(struct compile *compile)
{
	struct compile_scope scope = { compile, NULL };
	struct value_source source = { .param = param_get(PARAM_MYHOSTNAME), .name = "myhostname" };
	struct main_cf_entry *mydomain = main_cf_find(&compile->main_cf, SLICE_LIT("mydomain"));
	bool is_domain_set = mydomain != NULL && mydomain->value[0] != '\0';
	const char *machine = compile->options->hostname;
	struct slice raw, domain;
	struct buf text;
	enum err err;

	if (strchr(machine, '.') != NULL)
		compile->hostname = compile_text(machine, "");
	else
		compile->hostname =
			compile_text(machine, is_domain_set ? ".$mydomain" : ".localdomain");
	compile->mydomain = compile_text("localdomain", "");
	if (is_domain_set)
		return ERR_OK;
	err = compile_find(&scope, slice_str(source.name), &raw, &source.origin);
	CHECK(err == ERR_OK);
	buf_init(&text, COMPILE_TEXT_MAX);
	err = compile_expand(&scope, &source, raw, &text);
	domain = slice_from(buf_slice(&text), slice_find(buf_slice(&text), '.') + 1);
	if (err == ERR_OK && domain.len > 0) {
		mem_free(compile->mydomain);
		compile->mydomain = mem_strndup((const char *)domain.ptr, domain.len);
	}
	buf_done(&text);
	return err;
}
