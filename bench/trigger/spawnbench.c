/* spawnbench.c - how long programs take from spawn to exit, and until their byte is at a listener.
 *
 *   spawnbench ROUNDS SOCKET [-- NAME EVERY sends|silent PROGRAM [ARGUMENT...]]...
 *
 * The programs take turns inside each round (a slow one in each EVERY-th round only), so that all of them
 * meet the same neighbours on a shared machine and their ratios can be trusted. One line per run:
 *   NAME <tab> wall ns <tab> ns until the listener held the byte, -1 if none <tab> user CPU us <tab> system CPU us
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST_PROGRAMS = 32, WAIT_FOR_BYTE_MS = 50 };

struct program {
  const char *name;
  long every;
  int sends; /* a byte to the listener */
  char **words;
};

extern char **environ;

static _Noreturn void fail(const char *what) {
  fprintf(stderr, "spawnbench: %s: %s\n", what, strerror(errno));
  exit(2);
}

static long long now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static long microseconds(struct timeval time) { return time.tv_sec * 1000000L + time.tv_usec; }

static int listen_at(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) fail("the socket's path is too long");
  strcpy(address.sun_path, path);
  int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 16))
    fail("cannot listen");
  return listener;
}

/* A child that takes each connection's byte and writes down when it had it. */
static pid_t serve(int listener, volatile long long *arrived) {
  pid_t parent = getpid();
  pid_t child = fork();
  if (child) return child;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(0);
  for (;;) {
    struct pollfd waiting = {.fd = listener, .events = POLLIN};
    if (poll(&waiting, 1, -1) < 1) continue;
    int connection = accept4(listener, 0, 0, SOCK_CLOEXEC);
    char byte;
    if (connection >= 0 && read(connection, &byte, 1) == 1) *arrived = now_ns();
    close(connection);
  }
}

static void run_once(const struct program *program, volatile long long *arrived) {
  *arrived = 0;
  pid_t child;
  int status;
  struct rusage usage;
  long long start = now_ns();
  if (posix_spawnp(&child, program->words[0], 0, 0, program->words, environ)) fail(program->words[0]);
  if (wait4(child, &status, 0, &usage) != child) fail("wait4");
  long long end = now_ns();
  if (!WIFEXITED(status) || WEXITSTATUS(status)) {
    fprintf(stderr, "spawnbench: %s ended with status %d\n", program->name, status);
    exit(2);
  }
  for (int ms = 0; program->sends && !*arrived && ms < WAIT_FOR_BYTE_MS; ms++) usleep(1000);
  printf("%s\t%lld\t%lld\t%ld\t%ld\n", program->name, end - start, *arrived ? *arrived - start : -1,
         microseconds(usage.ru_utime), microseconds(usage.ru_stime));
}

int main(int count, char **words) {
  static struct program programs[MOST_PROGRAMS];
  int known = 0;
  if (count < 3) fail("usage: spawnbench ROUNDS SOCKET [-- NAME EVERY sends|silent PROGRAM [ARGUMENT...]]...");
  long rounds = atol(words[1]);
  for (int i = 3; i + 4 < count && known < MOST_PROGRAMS; i++) {
    if (!words[i] || strcmp(words[i], "--")) continue;
    words[i] = 0; /* ends the words of the program before */
    programs[known++] = (struct program){words[i + 1], atol(words[i + 2]), !strcmp(words[i + 3], "sends"), words + i + 4};
  }
  volatile long long *arrived = mmap(0, sizeof *arrived, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (arrived == MAP_FAILED) fail("mmap");
  pid_t server = serve(listen_at(words[2]), arrived);
  for (long round = 0; round < rounds; round++)
    for (int i = 0; i < known; i++)
      if (programs[i].every > 0 && round % programs[i].every == 0) run_once(&programs[i], arrived);
  kill(server, SIGKILL);
  unlink(words[2]);
  return 0;
}
