/* What the host charges for guest pages that its own MMU translates: see host_windows.py, which compiles this.
 *
 * A reserved range stands for a guest's virtual addresses. A page of it that is touched raises SIGSEGV, whose handler
 * maps the page of RAM that belongs there. Forgetting a page puts it back, as sfence.vma would.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, SCATTER = 7919 };       /* neighbours of a guest's address space are none in its RAM */
static const size_t RESERVED = (size_t)1 << 39;         /* what Sv39 can name */
static const int NOTHING = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;

static char *window;
static int ram;
static size_t ram_pages;

static void check(int failed, const char *what)
{
	if (failed) {
		perror(what);
		exit(1);
	}
}

static int show(char *page)
{
	size_t number = (page - window) / PAGE * SCATTER % ram_pages;
	return mmap(page, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, ram, number * PAGE) != MAP_FAILED;
}

static void forget(char *start, size_t size)
{
	check(mmap(start, size, PROT_NONE, NOTHING, -1, 0) == MAP_FAILED, "forget");
}

static void on_fault(int number, siginfo_t *information, void *context)
{
	(void)number, (void)context;
	if (!show((char *)((size_t)information->si_addr & ~(size_t)(PAGE - 1))))
		_exit(1);
}

static double nanoseconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return now.tv_sec * 1e9 + now.tv_nsec;
}

static double touch(size_t pages)
{
	volatile char *place = window;
	double start = nanoseconds();
	for (size_t i = 0; i < pages; i++)
		(void)place[i * PAGE];
	return (nanoseconds() - start) / pages;
}

int main(int count, char **arguments)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
	size_t pages = count > 1 ? strtoul(arguments[1], NULL, 10) : 10000;
	size_t limit = 0;
	double filled, used, start, one;

	ram_pages = pages * 2 | 1;
	check((ram = memfd_create("ram", 0)) < 0 || ftruncate(ram, ram_pages * PAGE), "RAM");
	for (size_t i = 0; i < ram_pages; i++)      /* the guest's RAM is there: only showing it is measured */
		check(pwrite(ram, "", 1, i * PAGE) != 1, "RAM");
	window = mmap(NULL, RESERVED, PROT_NONE, NOTHING & ~MAP_FIXED, -1, 0);
	check(window == MAP_FAILED, "window");
	check(sigaction(SIGSEGV, &action, NULL), "sigaction");

	filled = touch(pages);
	used = touch(pages);
	start = nanoseconds();
	for (size_t i = 0; i < pages / 4; i++)
		forget(window + i * 4 * PAGE, PAGE);
	one = (nanoseconds() - start) / (pages / 4);
	forget(window, RESERVED);
	touch(pages);
	start = nanoseconds();
	forget(window, RESERVED);
	printf("{\"filled\": %f, \"used\": %f, \"forgotten\": %f, \"emptied\": %f, ", filled, used, one,
	       (nanoseconds() - start) / pages);
	while (limit < (size_t)1 << 20 && show(window + limit * PAGE))
		limit++;
	printf("\"limit\": %zu}\n", limit);
	return 0;
}
