/*
 * snapshot.h - one configuration, sealed: compiled once, read by every role
 *
 * config_compile() (config/compile.h) turns main.cf, master.cf and their tables into an image;
 * config_open() checks an image and makes it readable. Every value is expanded, parsed and within
 * its range, so that look-ups cannot fail. A look-up names a service whose -o settings count, or
 * NULL for main.cf alone. Values are looked up by number: O(1), no hashing, no parsing.
 *
 * Ownership: config_open() borrows the image, which must not change; slices and strings returned
 *            point into it. config_close() frees the rest (and unmaps after config_open_fd()).
 * Errors:    an image is untrusted: ERR_CORRUPT (checksum or structure), ERR_VERSION (another
 * build). Limits:    CONFIG_IMAGE_MAX, CONFIG_SERVICES_MAX. Threads:   read-only after opening: any
 * thread. Rules:     T7-T12.
 */
#ifndef OSTLER_CONFIG_SNAPSHOT_H
#define OSTLER_CONFIG_SNAPSHOT_H

#include "base/err.h"
#include "base/slice.h"
#include "config/params.h"

#include <sys/socket.h>

enum { CONFIG_IMAGE_MAX = 512 * 1024 * 1024, CONFIG_SERVICES_MAX = 256 };

/* Values of some ENUM parameters, in the order of params.def. */
enum config_bare_newline {
	CONFIG_BARE_NEWLINE_NO,
	CONFIG_BARE_NEWLINE_YES, /* means NORMALIZE */
	CONFIG_BARE_NEWLINE_NORMALIZE,
	CONFIG_BARE_NEWLINE_REJECT,
	CONFIG_BARE_NEWLINE_NOTE,
};
enum config_preference {
	CONFIG_PREFERENCE_ANY,
	CONFIG_PREFERENCE_IPV4,
	CONFIG_PREFERENCE_IPV6,
};
enum config_queues { CONFIG_QUEUES_AUTO, CONFIG_QUEUES_NO, CONFIG_QUEUES_YES };
enum config_from_format { CONFIG_FROM_STANDARD, CONFIG_FROM_OBSOLETE };
/* Bits of inet_protocols: use config_has_ipv4() and config_has_ipv6(). */
enum { CONFIG_PROTOCOL_ALL = 1, CONFIG_PROTOCOL_IPV4 = 2, CONFIG_PROTOCOL_IPV6 = 4 };
/* Bits of propagate_unmatched_extensions. */
enum { CONFIG_PROPAGATE_CANONICAL = 1, CONFIG_PROPAGATE_VIRTUAL = 2 };
/* Bits of local_header_rewrite_clients. */
enum { CONFIG_CLIENTS_INET_INTERFACES = 1, CONFIG_CLIENTS_MYNETWORKS = 2, CONFIG_CLIENTS_ALL = 4 };
/* Bits of notify_classes. */
enum {
	CONFIG_NOTIFY_BOUNCE = 1 << 0,
	CONFIG_NOTIFY_2BOUNCE = 1 << 1,
	CONFIG_NOTIFY_DATA = 1 << 2,
	CONFIG_NOTIFY_DELAY = 1 << 3,
	CONFIG_NOTIFY_POLICY = 1 << 4,
	CONFIG_NOTIFY_PROTOCOL = 1 << 5,
	CONFIG_NOTIFY_RESOURCE = 1 << 6,
	CONFIG_NOTIFY_SOFTWARE = 1 << 7,
};

enum config_service_type { CONFIG_SERVICE_INET, CONFIG_SERVICE_UNIX };

enum config_command {
	CONFIG_COMMAND_SMTPD,
	CONFIG_COMMAND_PICKUP,
	CONFIG_COMMAND_SMTP,
	CONFIG_COMMAND_LMTP,
	CONFIG_COMMAND_LOCAL,
	CONFIG_COMMAND_PIPE,
	CONFIG_COMMAND_ERROR,
	CONFIG_COMMAND_RETRY,
	CONFIG_COMMAND_DISCARD,
	CONFIG_COMMAND_COUNT,
};

struct config;

/* One line of master.cf. A unix service with a delivering command is a transport, named by `name`.
 */
struct config_service {
	enum config_service_type type;
	enum config_command command;
	struct slice name; /* first column as written, e.g. "127.0.0.1:2525" or "smtp" */
	struct slice host; /* inet: address or name before the last colon; empty: inet_interfaces */
	uint16_t port;	   /* inet */
	bool is_private;
	uint32_t process_limit; /* maxproc column, or default_process_limit; 0: no limit */
	struct slice arguments; /* pipe: what follows the command, words parted by NUL */
	uint32_t index;		/* its place among config_service_at() */
};

/*
 * Makes an image readable. ERR_CORRUPT, ERR_VERSION; nothing is kept then.
 */
MUST_USE enum err config_open(
	struct slice image, struct config **ret_config, struct fault *reterr_fault);

/* The same for a file or memfd, which is mapped read-only; `fd` stays the caller's. Also ERR_IO. */
MUST_USE enum err config_open_fd(int fd, struct config **ret_config, struct fault *reterr_fault);

/* Frees; accepts NULL. */
void config_close(struct config *config);

/* The number given at compilation; reload counts up. */
uint64_t config_number(const struct config *config);

/*
 * Values. Asking for another type than the parameter has is a bug (CHECK). `service` may be NULL.
 * config_int(): INT and SIZE; config_enum(): place of the word in params.def; config_words(): bit
 * per word; config_str() and config_cstr() (NUL-terminated): the evaluated text of any type.
 */
bool config_bool(
	const struct config *config, const struct config_service *service, enum param_id id);
uint64_t config_int(
	const struct config *config, const struct config_service *service, enum param_id id);
uint64_t config_time_s(
	const struct config *config, const struct config_service *service, enum param_id id);
unsigned config_enum(
	const struct config *config, const struct config_service *service, enum param_id id);
uint64_t config_words(
	const struct config *config, const struct config_service *service, enum param_id id);
struct slice config_str(
	const struct config *config, const struct config_service *service, enum param_id id);
const char *config_cstr(
	const struct config *config, const struct config_service *service, enum param_id id);

/* inet_protocols. */
bool config_has_ipv4(const struct config *config);
bool config_has_ipv6(const struct config *config);

/*
 * Values per transport (rule T10): `id` is the default's parameter. For a NULL transport (one that
 * master.cf does not have) the default counts. Only main.cf counts here, not -o (rule T12).
 */
unsigned config_transport_enum(
	const struct config *config, const struct config_service *transport, enum param_id id);
uint64_t config_transport_int(
	const struct config *config, const struct config_service *transport, enum param_id id);
uint64_t config_transport_time_s(
	const struct config *config, const struct config_service *transport, enum param_id id);
struct slice config_transport_str(
	const struct config *config, const struct config_service *transport, enum param_id id);

/* Services in the order of master.cf; NULL beyond the last. */
const struct config_service *config_service_at(const struct config *config, uint32_t index);

/* A unix service whose command delivers, by its name; NULL: none. */
const struct config_service *config_transport_find(const struct config *config, struct slice name);

/* An inet service by its first column; NULL: none. */
const struct config_service *config_listener_find(const struct config *config, struct slice name);

/* "smtpd", "smtp", ... */
const char *config_command_name(enum config_command command);

/*
 * Tables of a MAPS parameter, asked in turn; keys compare without ASCII case. ERR_NOTFOUND: in
 * none. The caller asks for partial keys (.domain, @domain) itself. A TEMPLATES parameter has the
 * keys "failure_template" (its text, expanded, lines in CRLF) and "failure_template subject" (its
 * fields: charset, from, subject, postmaster-subject), and so on for each template.
 */
MUST_USE enum err config_map_find(const struct config *config, const struct config_service *service,
	enum param_id id, struct slice key, struct slice *ret_value);

/* Whether a MAPS parameter names any table. */
bool config_map_is_empty(
	const struct config *config, const struct config_service *service, enum param_id id);

/*
 * Whether a name is in a STRINGS or DOMAINS list: the first pattern that fits decides, one with !
 * in front means no. ASCII letters compare without case; a DOMAINS pattern also fits names below
 * it.
 */
bool config_list_match(const struct config *config, const struct config_service *service,
	enum param_id id, struct slice name);

/* The items of a STRINGS or DOMAINS list as written (files expanded): false beyond the last. */
bool config_list_at(const struct config *config, const struct config_service *service,
	enum param_id id, uint32_t index, struct slice *ret_item);

/* Whether an address (AF_INET, AF_INET6; v4-mapped counts as v4) is in a NETS list. */
bool config_net_match(const struct config *config, const struct config_service *service,
	enum param_id id, const struct sockaddr *address);

#endif
