/*
 * For a lab kernel on a processor with AMX: the kernel of this machine then sets extended registers of another process
 * as a whole only, which are more than user-mode-linux 6.1 has room for. This library, preloaded, adds the rest.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

/* Where the bits are that say which registers there are, and those of AMX, which the guest's programs don't use. */
#define PRESENT 512
#define AMX 0x60000ULL

static long (*forward)(int, ...);

static long setWhole(long process, const struct iovec *some) {
    static uint64_t registers[4096];
    struct iovec whole = {registers, sizeof registers};
    uint64_t present;

    if (forward(PTRACE_GETREGSET, process, NT_X86_XSTATE, &whole) < 0)
        return -1;
    memcpy(registers, some->iov_base, some->iov_len);
    memcpy(&present, (char *)registers + PRESENT, sizeof present);
    present &= ~AMX;
    memcpy((char *)registers + PRESENT, &present, sizeof present);
    return forward(PTRACE_SETREGSET, process, NT_X86_XSTATE, &whole);
}

long ptrace(enum __ptrace_request request, ...) {
    va_list arguments;
    long process, result;
    void *address, *data;

    va_start(arguments, request);
    process = va_arg(arguments, int);
    address = va_arg(arguments, void *);
    data = va_arg(arguments, void *);
    va_end(arguments);
    if (!forward)
        forward = (long (*)(int, ...))dlsym(RTLD_NEXT, "ptrace");
    result = forward(request, process, address, data);
    if (result < 0 && errno == EFAULT && request == PTRACE_SETREGSET && address == (void *)NT_X86_XSTATE)
        return setWhole(process, data);
    return result;
}
