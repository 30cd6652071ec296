/* runner_pipe.c - see runner_pipe.h */
#include "local/runner_pipe.h"

#include "base/ascii.h"
#include "base/num.h"
#include "message/address.h"

static bool
take_value(struct slice word, const char *name, struct slice *ret_value)
{
	struct slice prefix = slice_str(name);

	if (!slice_starts(word, prefix))
		return false;
	*ret_value = slice_from(word, prefix.len);
	return true;
}

static const char *
check_flags(struct slice flags)
{
	for (size_t i = 0; i < flags.len; i++)
		if (memchr("DFORXhqu", flags.ptr[i], 8) == NULL)
			return "flags= knows D, F, O, R, X, h, q and u";
	return NULL;
}

static const char *
take_attribute(struct runner_pipe *pipe, struct slice word)
{
	struct slice value;

	if (take_value(word, "user=", &value)) {
		size_t colon = slice_find(value, ':');

		pipe->user = slice_head(value, colon);
		pipe->group = slice_from(value, colon + 1);
		return NULL;
	}
	if (take_value(word, "flags=", &pipe->flags))
		return check_flags(pipe->flags);
	if (take_value(word, "size=", &value))
		return num_parse_u64(value, 0, UINT64_MAX, &pipe->size_max) == ERR_OK
			       ? NULL
			       : "size= is no number";
	if (take_value(word, "directory=", &pipe->directory) ||
		take_value(word, "null_sender=", &pipe->null_sender))
		return NULL;
	return "allowed: user=, flags=, directory=, null_sender=, size=, then argv=";
}

const char *
runner_pipe_parse(struct slice arguments, struct runner_pipe *ret_pipe)
{
	*ret_pipe = (struct runner_pipe){ .null_sender = SLICE_LIT("MAILER-DAEMON") };
	while (arguments.len > 0) {
		struct slice word = slice_head(arguments, slice_find(arguments, '\0'));
		const char *problem;

		if (take_value(word, "argv=", &ret_pipe->argv)) {
			ret_pipe->argv = slice_from(arguments, 5);
			break;
		}
		problem = take_attribute(ret_pipe, word);
		if (problem != NULL)
			return problem;
		arguments = slice_from(arguments, word.len + 1);
	}
	if (ret_pipe->user.len == 0)
		return "user= is missing";
	if (ret_pipe->argv.len == 0 || ret_pipe->argv.ptr[0] == '\0')
		return "argv= is missing";
	return NULL;
}

bool
runner_pipe_has(const struct runner_pipe *pipe, char flag)
{
	return slice_find(pipe->flags, (uint8_t)flag) < pipe->flags.len;
}

/* --- words ------------------------------------------------------------------------------------ */

static void
put_lower(struct buf *to, struct slice text, bool is_lower)
{
	for (size_t i = 0; i < text.len; i++)
		buf_add(to, slice_make(&(uint8_t){ is_lower ? (uint8_t)ascii_lower(text.ptr[i])
							    : text.ptr[i] }, 1));
}

static void
put_address(const struct runner_pipe *pipe, struct slice address, bool is_recipient, struct buf *to)
{
	struct slice local, domain;
	struct buf now;

	buf_init(&now, 0);
	address_split(address, &local, &domain);
	put_lower(&now, local, is_recipient && runner_pipe_has(pipe, 'u'));
	if (domain.len > 0)
		buf_add_str(&now, "@");
	put_lower(&now, domain, is_recipient && runner_pipe_has(pipe, 'h'));
	if (!runner_pipe_has(pipe, 'q') || address_format(buf_slice(&now), to) != ERR_OK)
		buf_add(to, buf_slice(&now));
	buf_done(&now);
}

static const char *
put_name(const struct runner_pipe *pipe, struct slice name, const struct ipc_run_request *request,
	struct slice delimiters, struct buf *to)
{
	bool is_lower = runner_pipe_has(pipe, 'u');
	struct slice local, domain, user, extension;

	address_split(request->recipient, &local, &domain);
	user = address_strip_extension(local, delimiters, &extension);
	if (slice_equal_str(name, "sender") && request->sender.len == 0)
		buf_add(to, pipe->null_sender);
	else if (slice_equal_str(name, "sender"))
		put_address(pipe, request->sender, false, to);
	else if (slice_equal_str(name, "recipient"))
		put_address(pipe, request->recipient, true, to);
	else if (slice_equal_str(name, "original_recipient"))
		put_address(pipe,
			request->original.len > 0 ? request->original : request->recipient, true,
			to);
	else if (slice_equal_str(name, "mailbox"))
		put_lower(to, local, is_lower);
	else if (slice_equal_str(name, "user"))
		put_lower(to, user, is_lower);
	else if (slice_equal_str(name, "extension"))
		put_lower(to, extension, is_lower);
	else if (slice_equal_str(name, "domain"))
		put_lower(to, domain, runner_pipe_has(pipe, 'h'));
	else if (slice_equal_str(name, "nexthop"))
		buf_add(to, request->nexthop);
	else if (slice_equal_str(name, "queue_id"))
		buf_add(to, request->queue_id);
	else if (slice_equal_str(name, "size"))
		buf_addf(to, "%llu", (unsigned long long)request->length);
	else
		return "argv= has a name that is not known";
	return NULL;
}

/* The name behind a dollar sign; *ret_used: bytes of it and what encloses it. */
static struct slice
cut_name(struct slice text, size_t *ret_used)
{
	uint8_t close = text.len == 0 ? 0 : text.ptr[0] == '{' ? '}' : text.ptr[0] == '(' ? ')' : 0;
	size_t len = 0;

	if (close != 0) {
		len = slice_find(text, close);
		*ret_used = len + 1;
		return len < text.len ? slice_make(text.ptr + 1, len - 1) : slice_make(NULL, 0);
	}
	while (len < text.len && (ascii_is_alnum(text.ptr[len]) || text.ptr[len] == '_'))
		len++;
	*ret_used = len;
	return slice_head(text, len);
}

const char *
runner_pipe_expand(const struct runner_pipe *pipe, struct slice word,
	const struct ipc_run_request *request, struct slice delimiters, struct buf *to,
	bool *ret_is_risky)
{
	size_t start = to->len;
	bool begins = word.len > 0 && word.ptr[0] == '$';
	const char *problem = NULL;

	while (problem == NULL && word.len > 0) {
		size_t dollar = slice_find(word, '$'), used = 1;
		bool is_end = dollar == word.len;

		buf_add(to, slice_head(word, dollar));
		word = slice_from(word, dollar + 1);
		if (is_end)
			break;
		if (word.len > 0 && word.ptr[0] == '$')
			buf_add_str(to, "$");
		else
			problem = put_name(pipe, cut_name(word, &used), request, delimiters, to);
		word = slice_from(word, used);
	}
	*ret_is_risky = begins && to->len > start && to->ptr[start] == '-';
	return problem;
}
