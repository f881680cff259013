/* process.c owns the state that a process has before its first line: standard descriptors and signals.
 * It must never do more in a signal handler than to end the process. */
#include "sys/process.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

int process_prepare(void)
{
	sigset_t wait;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN);
	sigemptyset(&wait);
	sigaddset(&wait, SIGHUP);
	sigaddset(&wait, SIGUSR1);
	pthread_sigmask(SIG_SETMASK, &wait, NULL);
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
			continue;
		int opened = open("/dev/null", O_RDWR); /* it takes the lowest number that is free */
		if (opened != fd)
			return -1;
	}
	return 0;
}

static void on_end(int number)
{
	_exit(EXIT_SUCCESS);
}

void process_end_when_told(void)
{
	(void)signal(SIGTERM, on_end);
	(void)signal(SIGINT, on_end);
}

void process_hear_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	pthread_sigmask(SIG_SETMASK, &none, NULL);
}
