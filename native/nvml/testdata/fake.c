/* A driver's NVML as its header describes it, for tests. What it lacks or refuses is chosen by -D. */
#include <stdio.h>
#include <string.h>

typedef int nvmlReturn_t;
typedef struct device { int index; } *nvmlDevice_t;
typedef struct { unsigned long long total, free, used; } nvmlMemory_t;
typedef struct { unsigned int gpu, memory; } nvmlUtilization_t;

enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, DRIVER_NOT_LOADED = 9 };

#ifndef DEVICES
#define DEVICES 1
#endif
static struct device devices[] = {{0}, {1}, {2}};
static const char* names[] = {
#ifdef DIFFERENT
    "NVIDIA T4",
#else
    "NVIDIA H100 80GB HBM3",
#endif
    "NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3"};
static const char* uuids[] = {"GPU-aaaa1111-0000-0000-0000-000000000000", "GPU-aaaa2222-0000-0000-0000-000000000000", "GPU-bbbb3333-0000-0000-0000-000000000000"};
static int users;

static nvmlReturn_t copy(char* to, unsigned int size, const char* from) {
    if (strlen(from) + 1 > size) return INSUFFICIENT_SIZE;
    memset(to, '?', size); /* nothing may be read behind the end */
    strcpy(to, from);
    return SUCCESS;
}
#define CHECK(d) if (!users) return UNINITIALIZED; if ((d) < devices || (d) >= devices + DEVICES) return INVALID_ARGUMENT

const char* nvmlErrorString(nvmlReturn_t code) { return code == DRIVER_NOT_LOADED ? "Driver Not Loaded" : code == NOT_SUPPORTED ? "Not Supported" : "Other"; }
nvmlReturn_t nvmlInit_v2(void) {
#ifdef NO_DRIVER
    return DRIVER_NOT_LOADED;
#endif
    users++;
    return SUCCESS;
}
nvmlReturn_t nvmlShutdown(void) { return users-- > 0 ? SUCCESS : UNINITIALIZED; }
nvmlReturn_t nvmlSystemGetDriverVersion(char* version, unsigned int n) { return copy(version, n, "580.159.04"); }
nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int* n) { if (!users) return UNINITIALIZED; *n = DEVICES; return SUCCESS; }
nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int i, nvmlDevice_t* d) { if (i >= DEVICES) return INVALID_ARGUMENT; *d = &devices[i]; return SUCCESS; }
nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t d, char* s, unsigned int n) { CHECK(d); return copy(s, n, uuids[d->index]); }
nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t d, char* s, unsigned int n) { CHECK(d); return copy(s, n, names[d->index]); }
nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t d, nvmlMemory_t* m) {
    CHECK(d);
    m->total = 85520809984ull; m->free = 80ull << 30; m->used = 5000000000ull + d->index;
    return SUCCESS;
}
nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t d, nvmlUtilization_t* u) {
    CHECK(d);
#ifdef VIRTUAL
    return NOT_SUPPORTED;
#endif
    u->gpu = 97; u->memory = 0;
    return SUCCESS;
}
#ifndef OLD
nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t d, unsigned int* milliwatts) { CHECK(d); *milliwatts = 512345; return SUCCESS; }
nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t d, unsigned int* current, unsigned int* pending) {
    CHECK(d);
#ifdef SPLIT
    *current = *pending = 1;
    return SUCCESS;
#endif
    return NOT_SUPPORTED;
}
#endif
nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t d, int type, unsigned int* mhz) {
    CHECK(d);
    if (type != 1 && type != 2) return INVALID_ARGUMENT;
    *mhz = type == 1 ? 1980 : 2619;
    return SUCCESS;
}
nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t d, int sensor, unsigned int* celsius) { CHECK(d); if (sensor != 0) return INVALID_ARGUMENT; *celsius = 64; return SUCCESS; }
