/* The time of day of a server in a test: loaded before the C library, reads two numbers from the file
   that RINGHOLD_CLOCK_FILE names. frozen = 1: it is exactly `micros` since 1970. frozen = 0: it is the
   machine's plus `micros`. The monotonic clocks are left alone, so timers run as ever. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
struct page { volatile int64_t frozen; volatile int64_t micros; };
static const struct page *page;
__attribute__((constructor)) static void start(void) {
    const char *path = getenv("RINGHOLD_CLOCK_FILE");
    int fd = path ? open(path, O_RDONLY) : -1;
    if (fd < 0) return;
    void *map = mmap(0, sizeof *page, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (map != MAP_FAILED) page = map;
}
int clock_gettime(clockid_t id, struct timespec *out) {
    int r = syscall(SYS_clock_gettime, id, out);
    if (r || !page || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE)) return r;
    int64_t us = page->micros;
    if (!page->frozen) us += out->tv_sec * 1000000LL + out->tv_nsec / 1000;
    out->tv_sec = us / 1000000; out->tv_nsec = us % 1000000 * 1000;
    return 0;
}
int gettimeofday(struct timeval *restrict tv, void *restrict tz) {
    struct timespec ts; int r = clock_gettime(CLOCK_REALTIME, &ts);
    if (tv) { tv->tv_sec = ts.tv_sec; tv->tv_usec = ts.tv_nsec / 1000; }
    return r;
}
time_t time(time_t *out) { struct timespec ts; clock_gettime(CLOCK_REALTIME, &ts); if (out) *out = ts.tv_sec; return ts.tv_sec; }
