/* plot.c - see plot.h */
#include "sim/plot.h"

#include "base/clock.h"

enum { WIDTH = 900, PANEL = 170, LEFT = 80, RIGHT = 20, TOP = 40, GAP = 50, PANELS = 3 };

/* A value of one point; the one before it is given for rates. */
typedef double plot_value_fn(const struct point *point, const struct point *before);

static double
rate(uint64_t now, uint64_t before, uint64_t ns)
{
	return ns == 0 ? 0 : (double)(now - before) * (double)NS_PER_S / (double)ns;
}

static double
delivered_rate(const struct point *point, const struct point *before)
{
	return rate(point->delivered, before->delivered, point->at_ns - before->at_ns);
}

static double
failed_rate(const struct point *point, const struct point *before)
{
	return rate(point->failed, before->failed, point->at_ns - before->at_ns);
}

static double
waiting(const struct point *point, const struct point *before)
{
	(void)before;
	return (double)point->waiting;
}

static double
window(const struct point *point, const struct point *before)
{
	(void)before;
	return point->window;
}

static double
busy(const struct point *point, const struct point *before)
{
	(void)before;
	return point->busy;
}

struct line {
	const char *name;
	const char *colour;
	plot_value_fn *value;
};

static const struct line panels[PANELS][2] = {
	{ { "delivered/s", "#2563eb", delivered_rate }, { "failed/s", "#dc2626", failed_rate } },
	{ { "messages waiting", "#7c3aed", waiting }, { NULL, NULL, NULL } },
	{ { "window", "#059669", window }, { "busy", "#d97706", busy } },
};

static double
largest(const struct course *course, const struct line lines[2])
{
	double most = 1;

	for (int l = 0; l < 2 && lines[l].value != NULL; l++) {
		for (uint32_t i = 1; i < course->count; i++) {
			double value = lines[l].value(&course->points[i], &course->points[i - 1]);

			most = value > most ? value : most;
		}
	}
	return most;
}

static void
write_panel(FILE *to, const struct course *course, const struct line lines[2], double top)
{
	double most = largest(course, lines);
	double end = (double)course->points[course->count - 1].at_ns;

	(void)fprintf(to,
		"<rect x='%d' y='%.0f' width='%d' height='%d' fill='none' stroke='#999'/>\n", LEFT,
		top, WIDTH - LEFT - RIGHT, PANEL);
	(void)fprintf(to, "<text x='%d' y='%.0f' text-anchor='end'>%.6g</text>\n", LEFT - 6,
		top + 10, most);
	(void)fprintf(to, "<text x='%d' y='%.0f' text-anchor='end'>0</text>\n", LEFT - 6,
		top + PANEL);
	for (int l = 0; l < 2 && lines[l].value != NULL; l++) {
		(void)fprintf(to, "<text x='%d' y='%.0f' fill='%s'>%s</text>\n", LEFT + 8 + l * 160,
			top - 6, lines[l].colour, lines[l].name);
		(void)fprintf(to, "<polyline fill='none' stroke='%s' stroke-width='1.3' points='",
			lines[l].colour);
		for (uint32_t i = 1; i < course->count; i++)
			(void)fprintf(to, "%.1f,%.1f ",
				LEFT + (double)course->points[i].at_ns / end *
						(WIDTH - LEFT - RIGHT),
				top + PANEL - lines[l].value(&course->points[i],
						      &course->points[i - 1]) /
						      most * PANEL);
		(void)fprintf(to, "'/>\n");
	}
}

void
plot_write(FILE *to, const struct course *course, const char *title)
{
	int height = TOP + PANELS * (PANEL + GAP);

	(void)fprintf(to, "<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%d' "
			  "font-family='sans-serif' font-size='12'>\n"
			  "<rect width='100%%' height='100%%' fill='white'/>\n"
			  "<text x='%d' y='16' font-size='14'>",
		WIDTH, height, LEFT);
	for (; *title != '\0'; title++) {
		if (*title == '<' || *title == '&')
			(void)fprintf(to, "&#%d;", *title);
		else
			(void)fputc(*title, to);
	}
	(void)fprintf(to, "</text>\n");
	for (int i = 0; i < PANELS && course->count > 1; i++)
		write_panel(to, course, panels[i], TOP + i * (PANEL + GAP));
	if (course->count > 1)
		(void)fprintf(to, "<text x='%d' y='%d' text-anchor='end'>%.0f s</text>\n",
			WIDTH - RIGHT, height - GAP + 16,
			(double)course->points[course->count - 1].at_ns / (double)NS_PER_S);
	(void)fprintf(to, "</svg>\n");
}
