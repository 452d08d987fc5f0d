/* floor.c - the cheapest program that Linux can run: no libc, no loader, one system call.
 *
 * The time from spawning it to its exit is the floor F that trigger latencies are divided by.
 */
#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n"
        "\txor %edi, %edi\n\tmov $231, %eax\n\tsyscall\n"); /* exit_group(0) */
#elif defined(__aarch64__)
__asm__(".globl _start\n_start:\n"
        "\tmov x0, #0\n\tmov x8, #94\n\tsvc #0\n");
#elif defined(__riscv)
__asm__(".globl _start\n_start:\n"
        "\tli a0, 0\n\tli a7, 94\n\tecall\n");
#else
#error "floor.c: add _start for this architecture"
#endif
