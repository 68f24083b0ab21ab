/* In the place of CUDA's driver: memory of this process, whose handle holds its address. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct { char reserved[64]; } Handle;
static int open_handles = 0;

int cuMemAlloc_v2(uint64_t *address, size_t size) {
    if (size > (1u << 30)) return 2;
    *address = (uint64_t)(uintptr_t)calloc(1, size);
    return 0;
}
int cuMemFree_v2(uint64_t address) {
    if (open_handles) return 1;
    free((void *)(uintptr_t)address);
    return 0;
}
int cuIpcGetMemHandle(Handle *handle, uint64_t address) {
    memset(handle->reserved, 0, 64);
    memcpy(handle->reserved + 8, &address, 8);
    handle->reserved[63] = 7;
    return 0;
}
int cuIpcOpenMemHandle_v2(uint64_t *address, Handle handle, unsigned int flags) {
    if (flags != 1 || handle.reserved[63] != 7) return 400;
    memcpy(address, handle.reserved + 8, 8);
    open_handles++;
    return 0;
}
int cuIpcCloseMemHandle(uint64_t address) {
    open_handles--;
    return 0;
}
int cuGetErrorName(int code, const char **name) {
    *name = code == 2 ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR_INVALID_HANDLE";
    return 0;
}
