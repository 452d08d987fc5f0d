/* toak - tell the dictation daemon one byte, and be gone.
 *
 * It runs on every press of the hotkey, so it opens no file, allocates nothing and never waits for the
 * daemon: five system calls, bounded by a send time-out. The daemon's answer is read for --status and
 * --wait only. Nothing is looked up: verbs, bytes and exit codes are tables (a test compares them with
 * the Python side, and with fallback.py, which does the same where there is no C compiler).
 */
#include "kernel.h"

enum { START = 0x01, STOP = 0x02, ABORT = 0x03, TOGGLE = 0x04, STATUS = 0x05, START_SLOT_1 = 0x11 };
enum { OK = 0, USAGE = 64, NOT_RUNNING = 69, FAILED = 70, TRY_AGAIN = 75, PERMISSION = 77, BAD_CONFIG = 78 };
enum { MAX_PAYLOAD_SIZE = 1 << 20, HEADER_BYTES = 4, PATIENCE_US = 250000 };

static const char HELP[] =
    "usage: toak VERB [--wait]\n"
    "  --start [1-9]  record, with profile 1-9 if given\n"
    "  --stop         stop, transcribe and type\n"
    "  --abort        throw the recording away (also: discard)\n"
    "  --toggle       start, or stop what is recording\n"
    "  --status       print the daemon's state as JSON\n"
    "  --wait         print the daemon's answer to any verb\n"
    "The dashes may be left out.\n";

static const struct {
  char word[8];
  unsigned char byte;
} VERBS[] = {{"start", START}, {"stop", STOP},     {"abort", ABORT},
             {"discard", ABORT}, {"toggle", TOGGLE}, {"status", STATUS}};

static const struct {
  char code[16];
  unsigned char status;
} REFUSALS[] = {/* what an error code in an answer means to a shell; every other code is FAILED */
                {"bad_request", USAGE},       {"unknown_command", USAGE},     {"busy", TRY_AGAIN},
                {"timeout", TRY_AGAIN},       {"state_conflict", TRY_AGAIN},  {"already_running", TRY_AGAIN},
                {"permission", PERMISSION},   {"bad_config", BAD_CONFIG},     {"model_missing", BAD_CONFIG},
                {"not_running", NOT_RUNNING}, {"usage", USAGE}};

struct failure {
  int status;
  const char *message;
};
static const struct failure
    ABSENT = {NOT_RUNNING, "the daemon is not running; start it with: toakd"},
    NO_SOCKET = {FAILED, "cannot make a socket"},
    NO_CONNECTION = {FAILED, "cannot connect to the daemon"},
    NO_ANSWER = {TRY_AGAIN, "the daemon does not answer"},
    NO_FRAME = {FAILED, "the daemon's answer is not complete"},
    FOREIGN = {PERMISSION, "the daemon's socket belongs to somebody else"},
    BAD_PATH = {BAD_CONFIG, "the socket's path is not absolute, or longer than 107 bytes"};

struct order {
  unsigned char byte;
  unsigned char waits; /* for the answer */
};

static char reply[MAX_PAYLOAD_SIZE + 1]; /* all zero, so a string; costs nothing until an answer is read */

static _Noreturn void leave(int status) {
  for (;;) call(SYS_exit_group, status, 0, 0, 0, 0);
}

static void print(int fd, const char *text) {
  while (*text) {
    unsigned long length = 0;
    while (text[length]) length++;
    long written = call(SYS_write, fd, (long)text, (long)length, 0, 0);
    if (written <= 0) return;
    text += written;
  }
}

/* What follows `prefix` in `text`, or 0 when `text` begins otherwise. */
static const char *after(const char *text, const char *prefix) {
  for (; *prefix; prefix++, text++)
    if (*text != *prefix) return 0;
  return text;
}

static int equal(const char *a, const char *b) {
  const char *rest = after(a, b);
  return rest && !*rest;
}

/* An environment variable; an empty one counts as unset. */
static const char *variable(char **environment, const char *name) {
  for (; *environment; environment++) {
    const char *rest = after(*environment, name);
    if (rest && rest[0] == '=' && rest[1]) return rest + 1;
  }
  return 0;
}

/* Add `text` at `used`; returns the new length, `size` once it does not fit with its NUL. */
static unsigned long append(char *buffer, unsigned long size, unsigned long used, const char *text) {
  while (*text && used < size) buffer[used++] = *text++;
  if (used < size) buffer[used] = 0;
  return used;
}

static unsigned long append_number(char *buffer, unsigned long size, unsigned long used, unsigned long number) {
  char digits[21];
  char *first = digits + sizeof digits - 1;
  *first = 0;
  do *--first = (char)('0' + number % 10);
  while (number /= 10);
  return append(buffer, size, used, first);
}

/* The rule of v2m.utils.paths.socket_path(). */
static const struct failure *find_socket(struct sockaddr_un *address, unsigned long *used, char **environment) {
  char *path = address->sun_path;
  const unsigned long size = sizeof address->sun_path;
  const char *base = variable(environment, "V2M_SOCKET");
  address->sun_family = AF_UNIX;
  if (base) {
    *used = append(path, size, 0, base);
  } else {
    if ((base = variable(environment, "XDG_RUNTIME_DIR"))) {
      *used = append(path, size, 0, base);
    } else { /* cron and some remote shells do not set it */
      *used = append(path, size, 0, "/run/user/");
      *used = append_number(path, size, *used, (unsigned long)call(SYS_getuid, 0, 0, 0, 0, 0));
    }
    *used = append(path, size, *used, "/v2m/v2m.sock");
  }
  return *used < size && path[0] == '/' ? 0 : &BAD_PATH;
}

static struct order parse(long count, char **words) {
  struct order order;
  order.byte = order.waits = 0;
  for (long i = 1; i < count; i++) {
    const char *word = words[i];
    if (order.byte == START && word[0] >= '1' && word[0] <= '9' && !word[1]) {
      order.byte = (unsigned char)(START_SLOT_1 + word[0] - '1');
      continue;
    }
    if (word[0] == '-' && word[1] == '-') word += 2;
    if (equal(word, "help")) {
      print(1, HELP);
      leave(OK);
    }
    if (equal(word, "wait")) {
      order.waits = 1;
      continue;
    }
    unsigned verb = 0;
    while (verb < sizeof VERBS / sizeof *VERBS && !equal(word, VERBS[verb].word)) verb++;
    if (order.byte || verb == sizeof VERBS / sizeof *VERBS) {
      order.byte = 0;
      break;
    }
    order.byte = VERBS[verb].byte;
  }
  if (!order.byte) {
    print(2, HELP);
    leave(USAGE);
  }
  if (order.byte == STATUS) order.waits = 1;
  return order;
}

static const struct failure *refused_connection(long error) {
  switch (-error) {
    case ENOENT:
    case ENOTDIR:
    case ECONNREFUSED:
      return &ABSENT;
    case EACCES:
    case EPERM:
      return &FOREIGN;
    case EAGAIN:
      return &NO_ANSWER;
    default:
      return &NO_CONNECTION;
  }
}

/* One answer into `reply`: four bytes of length, big endian, then JSON. */
static const struct failure *receive(long fd) {
  unsigned char header[HEADER_BYTES];
  long got = call(SYS_recvfrom, fd, (long)header, HEADER_BYTES, MSG_WAITALL, 0);
  if (got == -EAGAIN) return &NO_ANSWER;
  if (got != HEADER_BYTES) return &NO_FRAME;
  long length = (long)header[0] << 24 | (long)header[1] << 16 | (long)header[2] << 8 | (long)header[3];
  if (length == 0 || length > MAX_PAYLOAD_SIZE) return &NO_FRAME;
  got = call(SYS_recvfrom, fd, (long)reply, length, MSG_WAITALL, 0);
  return got == length ? 0 : &NO_FRAME;
}

static const struct failure *deliver(struct order order, char **environment) {
  struct sockaddr_un address;
  unsigned long used;
  const struct failure *failure = find_socket(&address, &used, environment);
  if (failure) return failure;
  long fd = call(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, 0, 0);
  if (fd < 0) return &NO_SOCKET;
  struct timeval patience; /* a stopped daemon with a full backlog would block connect for ever */
  patience.tv_sec = 0;
  patience.tv_usec = PATIENCE_US;
  call(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDTIMEO, (long)&patience, sizeof patience);
  long error = call(SYS_connect, fd, (long)&address, (long)(sizeof address.sun_family + used + 1), 0, 0);
  if (error < 0) return refused_connection(error);
  if (call(SYS_sendto, fd, (long)&order.byte, 1, MSG_NOSIGNAL, 0) != 1) return &NO_ANSWER;
  if (!order.waits) return 0;
  call(SYS_setsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, (long)&patience, sizeof patience);
  return receive(fd);
}

/* The exit status for the answer in `reply`; the daemon writes status first, and code first in an error. */
static int status_of_reply(void) {
  const char *rest = after(reply, "{\"status\":\"error\"");
  if (!rest) return OK;
  const char *code = 0;
  while (*rest && !(code = after(rest, "\"code\":\""))) rest++;
  for (unsigned i = 0; code && i < sizeof REFUSALS / sizeof *REFUSALS; i++) {
    rest = after(code, REFUSALS[i].code);
    if (rest && *rest == '"') return REFUSALS[i].status;
  }
  return FAILED;
}

/* In a child that holds nothing of ours: replace it by the first notify-send of PATH. */
static _Noreturn void become_notification(const char *message, char **environment) {
  call(SYS_close_range, 3, ~0u, 0, 0, 0);
  long nothing = call(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, 0, 0);
  for (int fd = 0; fd < 3; fd++) call(SYS_dup3, nothing, fd, 0, 0, 0); /* unconnected: as good as /dev/null */
  const char *arguments[6];
  arguments[0] = "notify-send";
  arguments[1] = "--app-name=v2m";
  arguments[2] = "--hint=string:x-canonical-private-synchronous:v2m"; /* a held key replaces, never piles up */
  arguments[3] = "No dictation";
  arguments[4] = message;
  arguments[5] = 0;
  const char *path = variable(environment, "PATH");
  if (!path) path = "/usr/local/bin:/usr/bin:/bin";
  for (; *path; path += *path == ':') {
    char program[4096];
    unsigned long used = 0;
    for (; *path && *path != ':'; path++)
      if (used < sizeof program) program[used++] = *path;
    used = append(program, sizeof program, used, "/notify-send");
    if (program[0] == '/' && used < sizeof program) /* never from the current directory */
      call(SYS_execve, (long)program, (long)arguments, (long)environment, 0, 0);
  }
  leave(127);
}

static _Noreturn void run(long count, char **words, char **environment) {
  struct order order = parse(count, words);
  const struct failure *failure = deliver(order, environment);
  if (!failure && !order.waits) leave(OK);
  if (!failure) {
    print(1, reply);
    print(1, "\n");
    leave(status_of_reply());
  }
  print(2, "toak: ");
  print(2, failure->message);
  print(2, "\n");
  /* A hotkey press is never silent; whoever waits for an answer reads it here. */
  if (!order.waits && fork_process() == 0) become_notification(failure->message, environment);
  leave(failure->status);
}

#if __STDC_HOSTED__
int main(int count, char **words) { run(count, words, environ); }
#else
__attribute__((used)) _Noreturn void start(long *stack) {
  char **words = (char **)(stack + 1);
  run(*stack, words, words + *stack + 1);
}
#endif
