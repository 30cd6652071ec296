/*
 * builtin.c - the configuration of a start without a directory (see compile.h)
 *
 * Good for a first minute without root: high ports on the loopback, everything below ./var.
 */
#include "config/compile.h"

#include <stdlib.h>

const char *
config_builtin_main(void)
{
	return "# Ostler's built-in configuration: what counts without -c.\n"
	       "queue_directory = var/queue\n"
	       "mail_spool_directory = var/mail\n"
	       "maillog_file = /dev/stdout\n"
	       "admin_listen = 127.0.0.1:8025\n"
	       "mydestination = $myhostname, localhost.$mydomain, localhost, $machine_name\n"
	       "mynetworks = 127.0.0.0/8 [::1]/128\n";
}

const char *
config_builtin_master(void)
{
	return "# name          type  private unpriv chroot wakeup maxproc command\n"
	       "127.0.0.1:2525  inet  n       -      n      -      -       smtpd\n"
	       "pickup          unix  n       -      n      -      1       pickup\n"
	       "smtp            unix  -       -      n      -      -       smtp\n"
	       "relay           unix  -       -      n      -      -       smtp\n"
	       "lmtp            unix  -       -      n      -      -       lmtp\n"
	       "local           unix  -       -      n      -      -       local\n"
	       "error           unix  -       -      n      -      -       error\n"
	       "retry           unix  -       -      n      -      -       retry\n"
	       "discard         unix  -       -      n      -      -       discard\n";
}

const char *
config_directory_choose(const char *given)
{
	const char *environment;

	if (given != NULL)
		return given;
	environment = getenv("MAIL_CONFIG");
	return environment != NULL && environment[0] != '\0' ? environment : NULL;
}
