/* dns.c - see dns.h */
#include "dns/dns.h"

#include "base/mem.h"

#include <stdio.h>
#include <unbound.h>

enum { CLASS_IN = 1, RCODE_OK = 0, RCODE_NAME = 3 };

struct dns {
	struct ub_ctx *ub;
};

struct question {
	dns_answer_fn *answer;
	void *ctx;
};

static int
add_servers(struct ub_ctx *ub, const char *const *servers)
{
	int error = 0;

	for (size_t i = 0; servers[i] != NULL && error == 0; i++)
		error = ub_ctx_set_fwd(ub, servers[i]);
	return error;
}

enum err
dns_new(const char *const *servers, struct dns **ret_dns)
{
	struct ub_ctx *ub = ub_ctx_create();
	int error;

	if (ub == NULL)
		return ERR_IO;
	(void)ub_ctx_async(ub, 1);
	/* Servers of a test, or of this machine, may well be on the loopback. */
	(void)ub_ctx_set_option(ub, "do-not-query-localhost:", "no");
	(void)ub_ctx_set_option(ub, "use-syslog:", "no");
	/* Private addresses have names, too, where there is a server for them. */
	(void)ub_ctx_set_option(ub, "unblock-lan-zones:", "yes");
	if (servers[0] != NULL) {
		error = add_servers(ub, servers);
	} else {
		(void)ub_ctx_resolvconf(ub, NULL);
		(void)ub_ctx_hosts(ub, NULL);
		error = 0;
	}
	if (error != 0) {
		ub_ctx_delete(ub);
		return ERR_IO;
	}
	/* Left to the servers: libunbound would deny it by itself. */
	(void)ub_ctx_zone_remove(ub, "test.");
	*ret_dns = mem_new(sizeof(**ret_dns));
	(*ret_dns)->ub = ub;
	return ERR_OK;
}

void
dns_free(struct dns *dns)
{
	if (dns == NULL)
		return;
	ub_ctx_delete(dns->ub);
	mem_free(dns);
}

int
dns_fd(const struct dns *dns)
{
	return ub_fd(dns->ub);
}

void
dns_process(struct dns *dns)
{
	(void)ub_process(dns->ub);
}

static enum dns_status
status_of(const struct ub_result *result)
{
	if (result->bogus)
		return DNS_BOGUS;
	if (result->havedata)
		return DNS_FOUND;
	if (result->nxdomain || result->rcode == RCODE_NAME)
		return DNS_NO_NAME;
	return result->rcode == RCODE_OK ? DNS_EMPTY : DNS_TEMPORARY;
}

static void
answered(void *ctx, int error, struct ub_result *result)
{
	struct question *question = ctx;
	struct dns_answer answer = { .status = DNS_TEMPORARY };

	if (error == 0 && result != NULL) {
		answer.status = status_of(result);
		answer.ttl_s = result->ttl > 0 ? (uint32_t)result->ttl : 0;
		answer.secure = result->secure;
		while (answer.status == DNS_FOUND && answer.count < DNS_RECORDS_MAX &&
			result->data[answer.count] != NULL) {
			unsigned i = answer.count++;

			answer.records[i] =
				slice_make(result->data[i], (size_t)result->len[i]);
		}
	}
	question->answer(question->ctx, &answer);
	if (result != NULL)
		ub_resolve_free(result);
	mem_free(question);
}

void
dns_ask(struct dns *dns, const char *name, enum dns_type type, dns_answer_fn *answer, void *ctx)
{
	struct question *question = mem_new(sizeof(*question));
	struct dns_answer failed = { .status = DNS_TEMPORARY };

	*question = (struct question){ answer, ctx };
	if (ub_resolve_async(dns->ub, name, (int)type, CLASS_IN, question, answered, NULL) == 0)
		return;
	mem_free(question);
	answer(ctx, &failed);
}

bool
dns_name(struct slice rdata, char ret_text[DNS_NAME_MAX])
{
	size_t at = 0, len = 0;

	while (at < rdata.len && rdata.ptr[at] != 0) {
		size_t label = rdata.ptr[at++];

		if (label > 63 || label > rdata.len - at || len + label + 2 > DNS_NAME_MAX)
			return false;
		if (len > 0)
			ret_text[len++] = '.';
		for (size_t i = 0; i < label; i++) {
			uint8_t byte = rdata.ptr[at + i];

			/* A dot or a control byte within a label is nobody's host name. */
			if (byte <= ' ' || byte >= 127 || byte == '.')
				return false;
			ret_text[len++] = (char)byte;
		}
		at += label;
	}
	ret_text[len] = '\0';
	return at < rdata.len;
}
