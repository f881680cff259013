/* The command line of sallyport: run a configuration or the quick form, check it, or tell of the program. */
#pragma once

/* Returns the exit status: 2 for a command line that is wrong. */
int command_main(int argc, char **argv);
