/* Preloaded by uml.sh into a kernel of one CPU. A User-Mode-Linux kernel that is built for several masks the signal
 * of their interrupts to each other whenever it masks interrupts, which takes a quarter of the time of a guest that
 * moves packets. A CPU that is alone is never interrupted so, and here that mask is not set. */
#define _GNU_SOURCE
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	sigset_t between_cpus;

	sigemptyset(&between_cpus);
	sigaddset(&between_cpus, SIGRTMIN);
	if (how != SIG_SETMASK && set && !old && !memcmp(set, &between_cpus, _NSIG / 8))
		return 0;
	return syscall(SYS_rt_sigprocmask, how, set, old, _NSIG / 8);
}
