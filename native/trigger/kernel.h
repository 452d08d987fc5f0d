/* kernel.h - how toak reaches the kernel: with no libc where it can, through the libc everywhere else.
 *
 * Starting glibc costs ten times what toak does (measured: 9 floors against 1, most of it CPUID, which
 * traps in virtual machines), so compiled with -ffreestanding this file supplies the entry point and the
 * system call itself and takes numbers from the kernel's own headers. Compiled as an ordinary program it
 * gives the same names by way of the libc. Either way a failed call returns minus its errno.
 */
#ifndef V2M_KERNEL_H
#define V2M_KERNEL_H

#if __STDC_HOSTED__

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static long call(long number, long a, long b, long c, long d, long e) {
  long result = syscall(number, a, b, c, d, e, 0L);
  return result < 0 ? -errno : result;
}

static long fork_process(void) { return fork(); }

#else /* freestanding */

#include <asm/errno.h>
#include <asm/socket.h>
#include <asm/unistd.h>
#include <linux/time.h>
#include <linux/un.h>

/* These have one value on both machines below, and no kernel header of user space. */
enum { AF_UNIX = 1, SOCK_STREAM = 1, SOCK_CLOEXEC = 02000000, MSG_WAITALL = 0x100, MSG_NOSIGNAL = 0x4000, SIGCHLD = 17 };

#define SYS_clone __NR_clone
#define SYS_close_range __NR_close_range
#define SYS_connect __NR_connect
#define SYS_dup3 __NR_dup3
#define SYS_execve __NR_execve
#define SYS_exit_group __NR_exit_group
#define SYS_getuid __NR_getuid
#define SYS_recvfrom __NR_recvfrom
#define SYS_sendto __NR_sendto
#define SYS_setsockopt __NR_setsockopt
#define SYS_socket __NR_socket
#define SYS_write __NR_write

/* The kernel hands over a stack pointer and no return address; C wants the stack aligned to 16 bytes. */
#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall start\n");

static long call(long number, long a, long b, long c, long d, long e) {
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = 0;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
__asm__(".globl _start\n_start:\n\tmov x29, #0\n\tmov x30, #0\n\tmov x0, sp\n\tand sp, x0, #-16\n\tbl start\n");

static long call(long number, long a, long b, long c, long d, long e) {
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = 0;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return x0;
}
#else
#error "no system calls for this machine: compile without -ffreestanding"
#endif

static long fork_process(void) { return call(SYS_clone, SIGCHLD, 0, 0, 0, 0); }

#endif

#ifndef SYS_close_range
#define SYS_close_range 436 /* Linux 5.9; the same on every machine. An older kernel refuses it, harmlessly. */
#endif

#endif
