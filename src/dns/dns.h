/*
 * dns.h - questions to the domain name system, answered later (a thin layer over libunbound)
 *
 * libunbound asks in a thread of its own; answers are delivered by dns_process() on the caller's
 * thread, when dns_fd() is readable. Truncated answers are asked again over TCP by it.
 *
 * Ownership: an answer's records are borrowed until the callback returns. A question that was asked
 *            is answered once; dns_free() drops those that are open.
 * Errors:    ERR_IO from dns_new(); everything else is an answer's status.
 * Threads:   one caller.
 */
#ifndef OSTLER_DNS_DNS_H
#define OSTLER_DNS_DNS_H

#include "base/err.h"
#include "base/slice.h"

enum dns_type { DNS_A = 1, DNS_PTR = 12, DNS_MX = 15, DNS_AAAA = 28 };

enum dns_status {
	DNS_FOUND,
	DNS_EMPTY,     /* the name exists, with nothing of this type */
	DNS_NO_NAME,   /* it does not exist */
	DNS_TEMPORARY, /* no answer, or a server's trouble */
	DNS_BOGUS,     /* DNSSEC says that it is forged */
};

enum { DNS_NAME_MAX = 256, DNS_RECORDS_MAX = 128 };

struct dns_answer {
	enum dns_status status;
	uint32_t ttl_s;
	bool secure;
	struct slice records[DNS_RECORDS_MAX]; /* rdata */
	unsigned count;
};

typedef void dns_answer_fn(void *ctx, const struct dns_answer *answer);

struct dns;

/* `servers`: "address" or "address@port" each, NULL-terminated; none: as resolv.conf says. */
MUST_USE enum err dns_new(const char *const *servers, struct dns **ret_dns);
void dns_free(struct dns *dns);
int dns_fd(const struct dns *dns);
void dns_process(struct dns *dns);

/* A question that cannot even be asked is answered at once, as TEMPORARY. */
void dns_ask(
	struct dns *dns, const char *name, enum dns_type type, dns_answer_fn *answer, void *ctx);

/* A name out of rdata, in text without final dot; "" is the root. False: malformed. */
bool dns_name(struct slice rdata, char ret_text[DNS_NAME_MAX]);

#endif
