/*
 * date.c - dates in header fields (see date.h)
 */
#include "message/date.h"

#include "base/check.h"

#include <stdio.h>
#include <time.h>

/* 9999-12-31 23:59:59, so that a year never has five digits. */
#define DATE_SECONDS_MAX UINT64_C(253402300799)

enum { DATE_DAY_S = 24 * 60 * 60 };

/* Civil time at an offset from UTC. gmtime_r() is arithmetic: it reads no clock and no zone. */
static struct tm
date_civil(struct wall at, int32_t offset_s)
{
	int64_t seconds = (int64_t)(wall_s(at) < DATE_SECONDS_MAX ? wall_s(at) : DATE_SECONDS_MAX);
	struct tm civil;
	time_t clock;

	seconds += offset_s;
	if (seconds < 0)
		seconds = 0;
	if (seconds > (int64_t)DATE_SECONDS_MAX)
		seconds = (int64_t)DATE_SECONDS_MAX;
	clock = (time_t)seconds;
	CHECK(gmtime_r(&clock, &civil) != NULL);
	return civil;
}

/* Not strftime(): names must not follow the locale. */
static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep",
	"Oct", "Nov", "Dec" };

struct slice
date_format(char ret_text[DATE_TEXT_SIZE], struct wall at, const struct date_zone *zone)
{
	static const struct date_zone utc = { 0, "UTC" };
	struct tm civil;
	int minutes, len;

	if (zone == NULL)
		zone = &utc;
	CHECK(zone->offset_s > -DATE_DAY_S && zone->offset_s < DATE_DAY_S);
	civil = date_civil(at, zone->offset_s);
	minutes = (zone->offset_s < 0 ? -zone->offset_s : zone->offset_s) / 60;
	len = snprintf(ret_text, DATE_TEXT_SIZE,
		"%s, %02d %s %04d %02d:%02d:%02d %c%02d%02d%s%.*s%s", days[civil.tm_wday],
		civil.tm_mday, months[civil.tm_mon], civil.tm_year + 1900, civil.tm_hour,
		civil.tm_min, civil.tm_sec, zone->offset_s < 0 ? '-' : '+', minutes / 60,
		minutes % 60, zone->name[0] != '\0' ? " (" : "", DATE_ZONE_NAME_SIZE, zone->name,
		zone->name[0] != '\0' ? ")" : "");
	CHECK(len > 0 && len < DATE_TEXT_SIZE);
	return slice_make(ret_text, (size_t)len);
}

struct slice
date_stamp(char ret_text[DATE_STAMP_SIZE], struct wall at)
{
	struct tm civil = date_civil(at, 0);
	char text[64];
	int len;

	len = snprintf(text, sizeof(text), "%04d%02d%02d%02d%02d%02d", civil.tm_year + 1900,
		civil.tm_mon + 1, civil.tm_mday, civil.tm_hour, civil.tm_min, civil.tm_sec);
	CHECK(len == DATE_STAMP_SIZE - 1);
	memcpy(ret_text, text, DATE_STAMP_SIZE);
	return slice_make(ret_text, DATE_STAMP_SIZE - 1);
}

struct slice
date_mbox(char ret_text[DATE_MBOX_SIZE], struct wall at)
{
	struct tm civil = date_civil(at, 0);
	char text[64];
	int len;

	len = snprintf(text, sizeof(text), "%s %s %2d %02d:%02d:%02d %04d", days[civil.tm_wday],
		months[civil.tm_mon], civil.tm_mday, civil.tm_hour, civil.tm_min, civil.tm_sec,
		civil.tm_year + 1900);
	CHECK(len == DATE_MBOX_SIZE - 1);
	memcpy(ret_text, text, DATE_MBOX_SIZE);
	return slice_make(ret_text, DATE_MBOX_SIZE - 1);
}
