/*
 * test_compile.c - unit tests of config/compile and config/snapshot
 *
 * Goal: what main.cf and master.cf say is what look-ups answer, and each bad value is refused with file,
 * line, parameter, value and what is allowed. Method: small directories made for each test; damage of
 * every byte of an image.
 */
#include "config/compile.h"

#include "base/mem.h"
#include "config/snapshot.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct world {
	char directory[64];
	struct buf image, warnings;
	struct fault fault;
	struct config *config;
	const char *overrides[4];
	size_t override_count;
	const char *hostname;
};

static int
world_start(void **state)
{
	struct world *world = MEM_NEW(struct world);

	(void)snprintf(world->directory, sizeof(world->directory), "/tmp/ostler-test.XXXXXX");
	if (mkdtemp(world->directory) == NULL)
		return -1;
	buf_init(&world->image, 0);
	buf_init(&world->warnings, 0);
	world->hostname = "box.example.com";
	*state = world;
	return 0;
}

static int
world_stop(void **state)
{
	static const char *const files[] = { "main.cf", "master.cf", "map", "list", "list2" };
	struct world *world = *state;
	int fd = open(world->directory, O_PATH | O_CLOEXEC);

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		(void)unlinkat(fd, files[i], 0);
	(void)close(fd);
	(void)rmdir(world->directory);
	config_close(world->config);
	buf_done(&world->image);
	buf_done(&world->warnings);
	mem_free(world);
	return 0;
}

static void
world_write(struct world *world, const char *name, const char *text)
{
	char path[128];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/%s", world->directory, name);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static enum err
world_compile_as(struct world *world, const char *directory)
{
	struct config_options options = { .directory = directory,
		.directory_fd = -1,
		.overrides = world->overrides,
		.override_count = world->override_count,
		.hostname = world->hostname,
		.number = 7 };
	enum err err;

	config_close(world->config);
	world->config = NULL;
	err = config_compile(&options, &world->image, &world->warnings, &world->fault);
	if (err == ERR_OK)
		err = config_open(buf_slice(&world->image), &world->config, &world->fault);
	return err;
}

static void
world_compile(struct world *world, const char *main_cf)
{
	enum err err;

	world_write(world, "main.cf", main_cf);
	err = world_compile_as(world, world->directory);
	if (err < 0)
		print_error("%s: %s\n", err_name(err), world->fault.text);
	assert_int_equal(err, ERR_OK);
}

/* Expects a refusal whose text has all of the words. */
static void
world_refuse(struct world *world, const char *main_cf, const char *words)
{
	struct slice rest = slice_str(words);
	struct slice word;

	world_write(world, "main.cf", main_cf);
	assert_true(world_compile_as(world, world->directory) < 0);
	while (slice_word(&rest, "|", &word)) {
		if (memmem(world->fault.text, strlen(world->fault.text), word.ptr, word.len)
			== NULL) {
			print_error("\"%" SLICE_FMT "\" is not in: %s\n", SLICE_ARG(word),
				world->fault.text);
			fail();
		}
	}
	assert_int_equal(world->image.len, 0);
}

static bool
world_warns(struct world *world, const char *word)
{
	return world->warnings.len > 0
		&& memmem(world->warnings.ptr, world->warnings.len, word, strlen(word)) != NULL;
}

static void
assert_slice(struct slice slice, const char *text)
{
	if (!slice_equal_str(slice, text)) {
		print_error("\"%" SLICE_FMT "\" instead of \"%s\"\n", SLICE_ARG(slice), text);
		fail();
	}
}

static void
test_compile__builtin__is_good_for_the_first_minute(void **state)
{
	struct world *world = *state;
	const struct config_service *service;

	world->hostname = "box";
	assert_int_equal(world_compile_as(world, NULL), ERR_OK);
	assert_int_equal(world->warnings.len, 0);
	service = config_service_at(world->config, 0);
	assert_slice(service->name, "127.0.0.1:2525");
	assert_slice(service->host, "127.0.0.1");
	assert_int_equal(service->port, 2525);
	assert_int_equal(service->process_limit, 100);
	assert_slice(config_str(world->config, NULL, PARAM_QUEUE_DIRECTORY), "var/queue");
	assert_string_equal(config_cstr(world->config, NULL, PARAM_MYHOSTNAME), "box.localdomain");
	assert_slice(config_str(world->config, NULL, PARAM_MYDOMAIN), "localdomain");
	assert_true(config_list_match(
		world->config, NULL, PARAM_MYDESTINATION, SLICE_LIT("LocalHost")));
	assert_true(config_list_match(world->config, NULL, PARAM_MYDESTINATION, SLICE_LIT("box")));
	assert_true(config_list_match(
		world->config, NULL, PARAM_MYDESTINATION, SLICE_LIT("box.localdomain")));
	assert_false(config_list_match(
		world->config, NULL, PARAM_MYDESTINATION, SLICE_LIT("x.localhost")));
	assert_int_equal(config_number(world->config), 7);
	assert_non_null(config_transport_find(world->config, SLICE_LIT("relay")));
	assert_null(config_transport_find(world->config, SLICE_LIT("pickup")));
	assert_non_null(config_listener_find(world->config, SLICE_LIT("127.0.0.1:2525")));
}

static void
test_compile__values_of_all_types__are_answered(void **state)
{
	struct world *world = *state;

	world_compile(world,
		"smtpd_timeout = 5m\n"
		"message_size_limit = 20480000\n"
		"soft_bounce = YES\n"
		"smtpd_forbid_bare_newline = reject\n"
		"notify_classes = bounce, delay\n"
		"maximal_queue_lifetime = 2\n"
		"smtpd_banner = $myhostname ${soft_bounce?{soft}:{hard}} $$\n"
		"inet_protocols = ipv4\n");
	assert_int_equal(config_time_s(world->config, NULL, PARAM_SMTPD_TIMEOUT), 300);
	assert_int_equal(config_int(world->config, NULL, PARAM_MESSAGE_SIZE_LIMIT), 20480000);
	assert_true(config_bool(world->config, NULL, PARAM_SOFT_BOUNCE));
	assert_int_equal(config_enum(world->config, NULL, PARAM_SMTPD_FORBID_BARE_NEWLINE),
		CONFIG_BARE_NEWLINE_REJECT);
	assert_int_equal(config_words(world->config, NULL, PARAM_NOTIFY_CLASSES),
		CONFIG_NOTIFY_BOUNCE | CONFIG_NOTIFY_DELAY);
	assert_int_equal(
		config_time_s(world->config, NULL, PARAM_MAXIMAL_QUEUE_LIFETIME), 2 * 86400);
	assert_slice(config_str(world->config, NULL, PARAM_SMTPD_BANNER), "box.example.com soft $");
	assert_slice(config_str(world->config, NULL, PARAM_MYDOMAIN), "example.com");
	assert_true(config_has_ipv4(world->config));
	assert_false(config_has_ipv6(world->config));
	assert_int_equal(config_time_s(world->config, NULL, PARAM_MINIMAL_BACKOFF_TIME), 300);
}

static void
test_compile__bad_values__name_everything(void **state)
{
	struct world *world = *state;

	world_refuse(world, "\nsmtpd_timeout = 5x\n",
		"main.cf, line 2|smtpd_timeout|bad time value or unit: 5x|s m h d w");
	world_refuse(world, "smtpd_timeout = 0\n", "invalid smtpd_timeout: 0 (min 1");
	world_refuse(world, "smtpd_timeout = 99999999999999999999w\n", "invalid smtpd_timeout|max");
	world_refuse(world, "hopcount_limit = many\n",
		"main.cf, line 1|bad numerical configuration: hopcount_limit = many|1 to 10000");
	world_refuse(world, "hopcount_limit = 0\n", "invalid hopcount_limit parameter value 0 < 1");
	world_refuse(world, "hopcount_limit = 10001\n",
		"invalid hopcount_limit parameter value 10001 > 10000");
	world_refuse(world, "soft_bounce = maybe\n",
		"bad boolean configuration: soft_bounce = maybe|yes, no");
	world_refuse(world, "smtpd_forbid_bare_newline = perhaps\n", "perhaps|normalize reject");
	world_refuse(world, "notify_classes = bounce, foo\n", "\"foo\"|2bounce");
	world_refuse(world, "mynetworks = 10.0.0.1/8\n", "mynetworks|10.0.0.1/8|10.0.0.0/8");
	world_refuse(world, "mynetworks = localhost\n", "bad network|localhost");
	world_refuse(world, "mydestination = hash:/etc/x\n", "unknown table|hash:/etc/x|texthash");
	world_refuse(world, "transport_maps = foo\n", "unknown table \"foo\"|inline");
	world_refuse(world, "transport_maps = texthash:none\n", "none|no such file");
	world_refuse(world, "transport_maps = inline:{ a\n", "a brace is not closed");
	world_refuse(world, "no equals sign\n", "main.cf, line 1: missing '='|no equals sign");
	world_refuse(world, " = x\n", "missing attribute name");
	world_refuse(world, "a = $b\nb = $a\nmyorigin = $a\n", "levels");
	world_refuse(world, "myorigin = ${foo\n", "myorigin|a brace is not closed");
	world_refuse(world, "default_transport = nosuch\n", "unknown transport|nosuch|line 1");
	world_refuse(world, "journal_segment_size = 1048577\n", "multiples of 1048576");
	world_refuse(world, "default_destination_concurrency_positive_feedback = 2\n", "bad feedback");
	world_refuse(world, "default_destination_rate_limit = 5\n", "bad rate");
	world_refuse(world, "smtp_destination_recipient_rate_limit = 5/week\n", "bad rate");
	world_refuse(world, "myhostname = a b\n", "bad host name");
	world_refuse(world, "admin_listen = nonsense\n", "admin_listen|address:port");
	world_refuse(world, "home_mailbox = ../x/\n", "home_mailbox");
	world->overrides[0] = "hopcount_limit=x";
	world->override_count = 1;
	world_refuse(world, "", "command line|hopcount_limit");
}

static void
test_compile__file_missing__is_said(void **state)
{
	struct world *world = *state;

	assert_int_equal(world_compile_as(world, world->directory), ERR_NOTFOUND);
	assert_non_null(strstr(world->fault.text, "main.cf: no such file"));
	assert_int_equal(world_compile_as(world, "/nonexistent/ostler"), ERR_NOTFOUND);
}

/* rules: R41 T51 */
static void
test_compile__filters_that_there_are_not__stop_the_start(void **state)
{
	struct world *world = *state;

	world_refuse(world, "content_filter = smtp:[127.0.0.1]:10025\n",
		"line 1: not supported, and mail would pass unfiltered: content_filter");
	world_refuse(world, "myhostname = a.test\nheader_checks = regexp:/x\n",
		"line 2: not supported, and mail would pass unfiltered: header_checks");
	world_compile(world, "content_filter =\n");
	assert_true(world_warns(world, "unused parameter: content_filter="));
}

static void
test_compile__warnings__name_what_has_no_effect(void **state)
{
	struct world *world = *state;

	world->overrides[0] = "hopcount_limit=9";
	world->override_count = 1;
	world_compile(world, "foo = 1\nmyorigin = a\nmyorigin = $bar\nbar = b\n"
			     "smtp_destination_recipient_limit = 3\n"
			     "nosuch_destination_recipient_limit = 3\nhopcount_limit=8\n"
			     "transport_maps = inline:{ a=smtp:x, b=uucp:x, c=:[x] }\n");
	assert_true(world_warns(world, "line 1: unused parameter: foo=1"));
	assert_true(world_warns(world, "line 8: transport_maps: master.cf has no transport \"uucp\""));
	assert_false(world_warns(world, "\"smtp\""));
	assert_true(world_warns(world, "line 3: overriding earlier entry: myorigin=$bar"));
	assert_true(world_warns(world, "nosuch_destination_recipient_limit"));
	assert_false(world_warns(world, "bar="));
	assert_false(world_warns(world, "smtp_destination"));
	assert_false(world_warns(world, "hopcount_limit"));
	assert_slice(config_str(world->config, NULL, PARAM_MYORIGIN), "b");
	assert_int_equal(config_int(world->config, NULL, PARAM_HOPCOUNT_LIMIT), 9);
}

/* rules: T10 */
static void
test_compile__forms_of_transports__fall_back_to_the_default(void **state)
{
	struct world *world = *state;
	const struct config_service *smtp, *relay, *local;

	world_compile(world, "default_destination_concurrency_limit = 33\n"
			     "smtp_destination_concurrency_limit = 7\n"
			     "smtp_destination_rate_delay = 2\n"
			     "relay_initial_destination_concurrency = 4\n");
	smtp = config_transport_find(world->config, SLICE_LIT("smtp"));
	relay = config_transport_find(world->config, SLICE_LIT("relay"));
	local = config_transport_find(world->config, SLICE_LIT("local"));
#define LIMIT(transport) \
	config_transport_int( \
		world->config, transport, PARAM_DEFAULT_DESTINATION_CONCURRENCY_LIMIT)
	assert_int_equal(LIMIT(smtp), 7);
	assert_int_equal(LIMIT(relay), 33);
	assert_int_equal(LIMIT(local), 2);
	assert_int_equal(LIMIT(NULL), 33);
#undef LIMIT
	assert_int_equal(config_transport_time_s(world->config, smtp,
				 PARAM_DEFAULT_DESTINATION_RATE_DELAY),
		2);
	assert_int_equal(config_transport_int(
				 world->config, relay, PARAM_INITIAL_DESTINATION_CONCURRENCY),
		4);
	assert_int_equal(config_transport_int(
				 world->config, local, PARAM_DEFAULT_DESTINATION_RECIPIENT_LIMIT),
		1);
	assert_slice(config_transport_str(world->config, smtp,
			     PARAM_DEFAULT_DESTINATION_CONCURRENCY_POSITIVE_FEEDBACK),
		"1");
}

/* rules: T12 */
static void
test_compile__services__have_their_own_settings(void **state)
{
	struct world *world = *state;
	const struct config_service *service;

	world_write(world, "master.cf",
		"smtp inet n - n - 7 smtpd -v\n"
		"  -o smtpd_timeout=10s\n"
		"  -o { smtpd_banner = hello $mail_name }\n"
		"# comment\n"
		"[::1]:587 inet n - y - 0 smtpd -o mail_name=Other\n"
		"smtp unix - - n - - smtp\n"
		"relay unix - - n - - smtp\n"
		"local unix - - n - - local\n"
		"cleanup unix n - y - 0 cleanup\n"
		"qmgr fifo n - n 300 1 qmgr\n"
		"mine unix - n n - - pipe user=nobody argv=/bin/true {a b}\n");
	world_compile(world, "mail_name = Name\n");
	assert_true(world_warns(world, "left out: cleanup/unix, qmgr/fifo\n"));
	assert_true(world_warns(world, "line 1: argument without meaning here: -v"));
	service = config_service_at(world->config, 0);
	assert_int_equal(service->port, 25);
	assert_int_equal(service->host.len, 0);
	assert_int_equal(service->process_limit, 7);
	assert_int_equal(config_time_s(world->config, service, PARAM_SMTPD_TIMEOUT), 10);
	assert_slice(config_str(world->config, service, PARAM_SMTPD_BANNER), "hello Name");
	assert_int_equal(config_time_s(world->config, NULL, PARAM_SMTPD_TIMEOUT), 300);
	service = config_service_at(world->config, 1);
	assert_slice(service->host, "::1");
	assert_int_equal(service->process_limit, 0);
	assert_slice(config_str(world->config, service, PARAM_SMTPD_BANNER),
		"box.example.com ESMTP Other");
	service = config_transport_find(world->config, SLICE_LIT("mine"));
	assert_int_equal(service->command, CONFIG_COMMAND_PIPE);
	assert_int_equal(service->arguments.len, sizeof("user=nobody\0argv=/bin/true\0a b"));
	assert_null(config_service_at(world->config, 6));
}

static void
test_compile__bad_master_cf__names_the_line(void **state)
{
	static const char *const bad[][2] = {
		{ "smtp inet n - n - smtpd\n", "line 1: 7 columns" },
		{ "\nsmtp foo n - n - - smtpd\n", "line 2: bad service type \"foo\"" },
		{ "nosuchport inet n - n - - smtpd\n", "bad service name \"nosuchport\"" },
		{ "25 inet q - n - - smtpd\n", "bad private column \"q\"" },
		{ "25 inet n - n x - smtpd\n", "bad wakeup column \"x\"" },
		{ "25 inet n - n - x smtpd\n", "bad maxproc column \"x\"" },
		{ "25 inet n - n - - smtpd -o\n", "bad option \"-o\"" },
		{ "25 inet n - n - - smtpd -o foo\n", "missing '='" },
		{ "25 inet n - n - - smtpd -o smtpd_timeout=x\n", "line 1: parameter smtpd_timeout" },
		{ "a unix n - n - - smtp\na unix n - n - - lmtp\n", "line 2: service \"a\" is there" },
		{ "a unix n - n - - pipe\n", "pipe needs arguments" },
	};
	struct world *world = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		world_write(world, "master.cf", bad[i][0]);
		world_refuse(world, "", bad[i][1]);
	}
}

static void
test_map_find__inline_file_and_static__answer_in_order(void **state)
{
	struct world *world = *state;
	struct slice value;

	world_write(world, "map", "# comment\nExample.COM  smtp:[mx.test]\n\t:25\n"
				  "\"a b@c\" relay:x\nexample.com second:\n");
	world_compile(world,
		"transport_maps = inline:{ a.test=smtp:a, { b.test = smtp:b, c } } texthash:map\n"
		"virtual_alias_maps = static:{ all@one.test }\n"
		"alias_maps = inline:{}\n");
#define FIND(id, key) config_map_find(world->config, NULL, id, SLICE_LIT(key), &value)
	assert_int_equal(FIND(PARAM_TRANSPORT_MAPS, "A.test"), ERR_OK);
	assert_slice(value, "smtp:a");
	assert_int_equal(FIND(PARAM_TRANSPORT_MAPS, "b.test"), ERR_OK);
	assert_slice(value, "smtp:b, c");
	assert_int_equal(FIND(PARAM_TRANSPORT_MAPS, "example.com"), ERR_OK);
	assert_slice(value, "smtp:[mx.test]\t:25");
	assert_int_equal(FIND(PARAM_TRANSPORT_MAPS, "a b@c"), ERR_OK);
	assert_int_equal(FIND(PARAM_TRANSPORT_MAPS, "b"), ERR_NOTFOUND);
	assert_int_equal(FIND(PARAM_TRANSPORT_MAPS, ""), ERR_NOTFOUND);
	assert_int_equal(FIND(PARAM_VIRTUAL_ALIAS_MAPS, "x"), ERR_OK);
	assert_slice(value, "all@one.test");
	assert_int_equal(FIND(PARAM_ALIAS_MAPS, "x"), ERR_NOTFOUND);
#undef FIND
	assert_false(config_map_is_empty(world->config, NULL, PARAM_TRANSPORT_MAPS));
	assert_true(config_map_is_empty(world->config, NULL, PARAM_LOCAL_RECIPIENT_MAPS));
	/* virtual_alias_domains = $virtual_alias_maps shares the table. */
	assert_true(config_list_match(
		world->config, NULL, PARAM_VIRTUAL_ALIAS_DOMAINS, SLICE_LIT("any")));
}

static void
test_map_find__alias_file__takes_colons(void **state)
{
	struct world *world = *state;
	struct slice value;

	world_write(world, "map", "postmaster: root\nroot:admin@x.test,\n  \"b c\"\nplain x\n");
	world_compile(world, "alias_maps = texthash:map\n");
#define FIND(key) config_map_find(world->config, NULL, PARAM_ALIAS_MAPS, SLICE_LIT(key), &value)
	assert_int_equal(FIND("postmaster"), ERR_OK);
	assert_slice(value, "root");
	assert_int_equal(FIND("root"), ERR_OK);
	assert_slice(value, "admin@x.test,  \"b c\"");
	assert_int_equal(FIND("plain"), ERR_OK);
#undef FIND
	world_write(world, "map", "keyonly\n");
	world_refuse(world, "alias_maps = texthash:map\n", "line 1|keyonly");
}

static void
test_list_match__files_negation_parents__decide_in_order(void **state)
{
	struct world *world = *state;
	char main_cf[512];
	struct slice item;

	world_write(world, "list", "# names\none.test two.test\n  three.test\n!five.test\n");
	world_write(world, "list2", "");
	(void)snprintf(main_cf, sizeof(main_cf),
		"relay_domains = !no.example.com, example.com, %s/list, inline:{tab.test=x}, %s/list2\n"
		"mydestination = !a.test, inline:{ a.test=1, b.test=1 } !/%s/list\n",
		world->directory, world->directory, world->directory);
	world_compile(world, main_cf);
#define MATCH(name) \
	config_list_match(world->config, NULL, PARAM_RELAY_DOMAINS, SLICE_LIT(name))
	assert_true(MATCH("example.com"));
	assert_true(MATCH("deep.below.Example.com"));
	assert_false(MATCH("no.example.com"));
	assert_false(MATCH("x.no.example.com"));
	assert_false(MATCH("notexample.com"));
	assert_false(MATCH("com"));
	assert_false(MATCH(""));
	assert_true(MATCH("three.test"));
	assert_false(MATCH("five.test"));
	assert_true(MATCH("sub.tab.test"));
#undef MATCH
	assert_false(config_list_match(world->config, NULL, PARAM_MYDESTINATION, SLICE_LIT("a.test")));
	assert_true(config_list_match(world->config, NULL, PARAM_MYDESTINATION, SLICE_LIT("b.test")));
	assert_false(
		config_list_match(world->config, NULL, PARAM_MYDESTINATION, SLICE_LIT("x.b.test")));
	assert_true(
		config_list_match(world->config, NULL, PARAM_MYDESTINATION, SLICE_LIT("five.test")));
	assert_true(config_list_at(world->config, NULL, PARAM_RELAY_DOMAINS, 0, &item));
	assert_slice(item, "!no.example.com");
	assert_true(config_list_at(world->config, NULL, PARAM_RELAY_DOMAINS, 2, &item));
	assert_slice(item, "one.test");
	assert_false(config_list_at(world->config, NULL, PARAM_RELAY_DOMAINS, 99, &item));
}

static void
test_list_match__long_list__is_indexed(void **state)
{
	struct world *world = *state;
	struct buf text;
	char name[32];

	buf_init(&text, 0);
	buf_add_str(&text, "relay_domains = !d7.test");
	for (int i = 0; i < 1000; i++)
		buf_addf(&text, " D%d.test", i);
	buf_add_str(&text, "\n");
	buf_add(&text, slice_make("", 1));
	world_compile(world, (const char *)text.ptr);
	buf_done(&text);
	for (int i = 0; i < 1000; i++) {
		(void)snprintf(name, sizeof(name), "x.d%d.Test", i);
		assert_int_equal(config_list_match(world->config, NULL, PARAM_RELAY_DOMAINS,
					 slice_str(name)),
			i != 7);
	}
	assert_false(
		config_list_match(world->config, NULL, PARAM_RELAY_DOMAINS, SLICE_LIT("d1000.test")));
}

static bool
world_net(struct world *world, const char *text)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

	if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
		return config_net_match(
			world->config, NULL, PARAM_MYNETWORKS, (struct sockaddr *)&in);
	assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
	return config_net_match(world->config, NULL, PARAM_MYNETWORKS, (struct sockaddr *)&in6);
}

static void
test_net_match__networks__contain_their_edges(void **state)
{
	struct world *world = *state;

	world_compile(world,
		"mynetworks = !10.1.2.3, 10.1.0.0/16, [2001:db8::]/33 [::1]/128 192.0.2.9, "
		"inline:{ 198.51.100.7=ok }, 203.0.113.128/25\n");
	assert_true(world_net(world, "10.1.0.0"));
	assert_true(world_net(world, "10.1.255.255"));
	assert_false(world_net(world, "10.1.2.3"));
	assert_false(world_net(world, "10.2.0.0"));
	assert_false(world_net(world, "10.0.255.255"));
	assert_true(world_net(world, "2001:db8:7fff:ffff::"));
	assert_false(world_net(world, "2001:db8:8000::"));
	assert_true(world_net(world, "::1"));
	assert_false(world_net(world, "::2"));
	assert_true(world_net(world, "::ffff:192.0.2.9"));
	assert_true(world_net(world, "198.51.100.7"));
	assert_false(world_net(world, "203.0.113.127"));
	assert_true(world_net(world, "203.0.113.128"));
}

static void
test_open__any_byte_damaged__is_refused(void **state)
{
	struct world *world = *state;
	struct config *config = NULL;
	struct fault fault;

	world_compile(world, "relay_domains = a.test\ntransport_maps = inline:{a=b}\n");
	for (size_t i = 0; i < world->image.len; i += i < 200 ? 1 : 61) {
		world->image.ptr[i] ^= 1;
		assert_true(config_open(buf_slice(&world->image), &config, &fault) < 0);
		world->image.ptr[i] ^= 1;
	}
	for (size_t len = 0; len < world->image.len; len += 101)
		assert_true(config_open(slice_head(buf_slice(&world->image), len), &config, &fault)
			< 0);
}

/* rules: N49 T68 */
static void
test_templates__fields_and_text__are_expanded_and_found(void **state)
{
	static const struct {
		const char *key;
		const char *value;
	} cases[] = {
		{ "failure_template subject", "Not delivered: $myhostname" },
		{ "failure_template from", "MAILER-DAEMON (Post)" },
		{ "failure_template postmaster-subject", "Copy" },
		{ "failure_template charset", "utf-8" },
		{ "failure_template", "Here is box.example.com, $5.\r\n\r\nGr\xc3\xbc\xc3\x9f"
				      "e: yes\r\n" },
		{ "delay_template", "90 minutes, 1 hours, 0 days; 432000 5 0\r\n" },
	};
	struct world *world = *state;
	struct slice value;

	world_write(world, "map", "# ours\n\nfailure_template = <<EOF\nCharset: utf-8\n"
				  "From: MAILER-DAEMON (Post)\nSubject: Not delivered: $myhostname\n"
				  "Postmaster-Subject: Copy\n\nHere is $myhostname, $$5.\n\n"
				  "Gr\xc3\xbc\xc3\x9f" "e: yes\nEOF\n"
				  "delay_template=<<END\n"
				  "$delay_warning_time_minutes minutes, ${delay_warning_time_hours} hours, "
				  "$delay_warning_time_days days; $maximal_queue_lifetime_seconds "
				  "$maximal_queue_lifetime_days $maximal_queue_lifetime_weeks\nEND\n");
	world_compile(world, "bounce_template_file = map\ndelay_warning_time = 90m\n");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(config_map_find(world->config, NULL, PARAM_BOUNCE_TEMPLATE_FILE,
					 slice_str(cases[i].key), &value), ERR_OK);
		assert_true(slice_equal_str(value, cases[i].value));
	}
	assert_int_equal(config_map_find(world->config, NULL, PARAM_BOUNCE_TEMPLATE_FILE,
				 SLICE_LIT("verify_template"), &value), ERR_NOTFOUND);
}

/* rules: N49 T68 */
static void
test_templates__mistakes__are_refused_with_their_line(void **state)
{
	static const struct {
		const char *file;
		const char *wanted;
	} cases[] = {
		{ "failure_template = <<EOF\n\nhello $nobody\nEOF\n", "map, line 3|nobody" },
		{ "failure_template = <<EOF\nReply-To: x\n\nhello\nEOF\n",
			"map, line 2|Reply-To|Postmaster-Subject" },
		{ "failure_template = <<EOF\nSubject:\n\nhello\nEOF\n", "map, line 2|Subject" },
		{ "\nfailure_template = <<EOF\nhello\n", "map, line 2|no end|EOF" },
		{ "bounce_template = <<EOF\nhello\nEOF\n", "map, line 1|bounce_template|verify_template" },
		{ "delay_template = hello\n", "map, line 1|<<END" },
		{ "delay_template = <<A\nx\nA\ndelay_template = <<A\nx\nA\n", "map, line 4|each once" },
		{ "delay_template = <<A\n\nGr\xc3\xbc\xc3\x9f" "e\nA\n", "map, line 3|Charset" },
		{ "delay_template = <<A\n\n${x\nA\n", "map, line 3|delay_template" },
	};
	struct world *world = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		world_write(world, "map", cases[i].file);
		world_refuse(world, "bounce_template_file = map\n", cases[i].wanted);
	}
	world_refuse(world, "bounce_template_file = list\n", "list|no such file");
}

int
main(void)
{
#define WORLD(test) cmocka_unit_test_setup_teardown(test, world_start, world_stop)
	const struct CMUnitTest tests[] = {
		WORLD(test_compile__builtin__is_good_for_the_first_minute),
		WORLD(test_compile__values_of_all_types__are_answered),
		WORLD(test_compile__bad_values__name_everything),
		WORLD(test_compile__file_missing__is_said),
		WORLD(test_compile__filters_that_there_are_not__stop_the_start),
		WORLD(test_compile__warnings__name_what_has_no_effect),
		WORLD(test_compile__forms_of_transports__fall_back_to_the_default),
		WORLD(test_compile__services__have_their_own_settings),
		WORLD(test_compile__bad_master_cf__names_the_line),
		WORLD(test_map_find__inline_file_and_static__answer_in_order),
		WORLD(test_map_find__alias_file__takes_colons),
		WORLD(test_list_match__files_negation_parents__decide_in_order),
		WORLD(test_list_match__long_list__is_indexed),
		WORLD(test_templates__fields_and_text__are_expanded_and_found),
		WORLD(test_templates__mistakes__are_refused_with_their_line),
		WORLD(test_net_match__networks__contain_their_edges),
		WORLD(test_open__any_byte_damaged__is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
