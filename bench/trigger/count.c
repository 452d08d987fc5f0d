/* count.c - how many instructions, CPUIDs and system calls a program executes after exec, by single steps.
 *
 *   count PROGRAM [ARGUMENT...]      prints "instructions cpuid syscalls"; its exit status is the program's
 *
 * Deterministic where times are not, and it works in virtual machines without performance counters.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#if !defined(__x86_64__)
#error "count.c knows the instructions of x86_64 only"
#endif

enum { CPUID = 0xa20f, SYSCALL = 0x050f }; /* 0f a2 and 0f 05, as they are read from memory */

static _Noreturn void fail(const char *what) {
  perror(what);
  exit(2);
}

int main(int count, char **words) {
  if (count < 2) {
    fputs("usage: count PROGRAM [ARGUMENT...]\n", stderr);
    return 2;
  }
  pid_t child = fork();
  if (child == 0) {
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    execvp(words[1], words + 1);
    _exit(127);
  }
  int status;
  long instructions = 0, cpuids = 0, syscalls = 0;
  if (waitpid(child, &status, 0) != child) fail("count: waitpid");
  while (WIFSTOPPED(status)) { /* first stop: the image is new, nothing of it has run */
    struct user_regs_struct registers;
    if (ptrace(PTRACE_GETREGS, child, 0, &registers)) fail("count: registers");
    unsigned opcode = ptrace(PTRACE_PEEKTEXT, child, registers.rip, 0) & 0xffff;
    instructions++;
    cpuids += opcode == CPUID;
    syscalls += opcode == SYSCALL;
    if (ptrace(PTRACE_SINGLESTEP, child, 0, 0)) fail("count: step");
    if (waitpid(child, &status, 0) != child) fail("count: waitpid");
  }
  printf("%ld %ld %ld\n", instructions, cpuids, syscalls);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 2;
}
