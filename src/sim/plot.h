/* plot.h - the course of a simulation as an SVG picture */
#ifndef OSTLER_SIM_PLOT_H
#define OSTLER_SIM_PLOT_H

#include "sim/stats.h"

/* Three panels over one time axis: deliveries and failures per second, waiting mail, window. */
void plot_write(FILE *to, const struct course *course, const char *title);

#endif
