/* Records what a program writes below one folder, so that a test can rebuild the folder as a disk may show it after a
 * power cut. Loaded with LD_PRELOAD.
 *
 * POWER_ROOT is the folder, POWER_LOG the record, POWER_DELAY_US the longest duration of a flush. Nothing is flushed
 * in fact: a flush counts when its entry is in the record. Calls that write in a way that is not recorded end the
 * program, so that no proof is passed by accident.
 *
 * An entry: kind (1 byte), 3 bytes of padding, handle (4), argument (8), lengths of two texts (4 and 4), the texts.
 * The handle of an open file is the number of the entry that opened it. All processes share one lock and one count.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILES 4096
#define SYSCALL(result, name, ...) static result (*real_##name)(__VA_ARGS__)

struct shared {
    pthread_mutex_t lock;
    uint32_t entries;
};
struct entry {
    char kind;
    char padding[3];
    uint32_t handle;
    uint64_t argument;
    uint32_t first_length;
    uint32_t second_length;
};

static struct shared *shared;
static int log_file = -1;
static char root[PATH_MAX];
static size_t root_length;
static unsigned delay_us;
static pid_t own_pid;
static uint32_t handles[FILES];

SYSCALL(int, open, const char *, int, ...);
SYSCALL(int, openat, int, const char *, int, ...);
SYSCALL(int, close, int);
SYSCALL(ssize_t, write, int, const void *, size_t);
SYSCALL(ssize_t, pwrite, int, const void *, size_t, off_t);
SYSCALL(ssize_t, writev, int, const struct iovec *, int);
SYSCALL(int, ftruncate, int, off_t);
SYSCALL(int, truncate, const char *, off_t);
SYSCALL(int, rename, const char *, const char *);
SYSCALL(int, link, const char *, const char *);
SYSCALL(int, linkat, int, const char *, int, const char *, int);
SYSCALL(int, unlink, const char *);
SYSCALL(int, unlinkat, int, const char *, int);
SYSCALL(int, mkdir, const char *, mode_t);
SYSCALL(int, rmdir, const char *);
SYSCALL(int, fsync, int);
SYSCALL(int, fdatasync, int);
SYSCALL(int, syncfs, int);
SYSCALL(int, dup, int);
SYSCALL(void *, mmap, void *, size_t, int, int, int, off_t);

#define FIND(name) real_##name = dlsym(RTLD_NEXT, #name)

static void set_pid(void) { own_pid = getpid(); }

static void stop(const char *call) {
    dprintf(2, "disk.c does not record %s\n", call);
    abort();
}

static void open_shared(const char *log) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s.lock", log);
    int file = real_open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct flock whole = {.l_type = F_WRLCK};
    struct stat found;
    if (file < 0 || fcntl(file, F_SETLKW, &whole) < 0 || fstat(file, &found) < 0) stop("without its lock");
    int is_new = found.st_size == 0;
    if (is_new && real_ftruncate(file, sizeof *shared) < 0) stop("without its lock");
    shared = real_mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (shared == MAP_FAILED) stop("without its lock");
    if (is_new) {
        pthread_mutexattr_t kind;
        pthread_mutexattr_init(&kind);
        pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
        pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
        pthread_mutex_init(&shared->lock, &kind);
    }
    real_close(file); /* also gives the lock back */
}

__attribute__((constructor)) static void begin(void) {
    FIND(open); FIND(openat); FIND(close); FIND(write); FIND(pwrite); FIND(writev); FIND(ftruncate); FIND(truncate);
    FIND(rename); FIND(link); FIND(linkat); FIND(unlink); FIND(unlinkat); FIND(mkdir); FIND(rmdir); FIND(fsync);
    FIND(fdatasync); FIND(syncfs); FIND(dup); FIND(mmap);
    const char *folder = getenv("POWER_ROOT"), *log = getenv("POWER_LOG"), *delay = getenv("POWER_DELAY_US");
    if (folder == NULL || log == NULL) return;
    snprintf(root, sizeof root, "%s/", folder);
    root_length = strlen(root);
    delay_us = delay == NULL ? 0 : atoi(delay);
    open_shared(log);
    log_file = real_open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    set_pid();
    pthread_atfork(NULL, NULL, set_pid);
}

static void lock(void) {
    if (pthread_mutex_lock(&shared->lock) == EOWNERDEAD) pthread_mutex_consistent(&shared->lock);
}

static void unlock(void) {
    int kept = errno;
    pthread_mutex_unlock(&shared->lock);
    errno = kept;
}

/* Append an entry, in one write so that a killed program leaves a whole one; return its number. */
static uint32_t record(char kind, uint32_t handle, uint64_t argument, const void *first, size_t first_length,
                       const void *second, size_t second_length) {
    struct entry entry = {.kind = kind, .handle = handle, .argument = argument,
                          .first_length = first_length, .second_length = second_length};
    struct iovec parts[3] = {{&entry, sizeof entry}, {(void *)first, first_length}, {(void *)second, second_length}};
    ssize_t size = sizeof entry + first_length + second_length;
    if (real_writev(log_file, parts, 3) != size) stop("on a full disk");
    return ++shared->entries;
}

/* Write the absolute path to `out` and return the part below the folder; NULL for files that do not count. */
static const char *below(const char *path, char *out) {
    if (log_file < 0) return NULL;
    if (path[0] == '/') snprintf(out, PATH_MAX, "%s", path);
    else if (getcwd(out, PATH_MAX) != NULL) {
        size_t length = strlen(out);
        snprintf(out + length, PATH_MAX - length, "/%s", path);
    }
    size_t length = strlen(out);
    if (length + 1 == root_length && strncmp(out, root, length) == 0) return out + length;
    if (strncmp(out, root, root_length) != 0) return NULL;
    /* SQLite maps this one into memory and makes it anew after a crash. */
    if (length > 4 && strcmp(out + length - 4, "-shm") == 0) return NULL;
    return out + root_length;
}

static uint32_t handle_of(int file) { return file >= 0 && file < FILES ? handles[file] : 0; }

static int opened(int folder, const char *path, int flags, mode_t mode) {
    char whole[PATH_MAX];
    const char *name = folder == AT_FDCWD || path[0] == '/' ? below(path, whole) : NULL;
    if (name == NULL) {
        if (handle_of(folder)) stop("openat");
        return real_openat(folder, path, flags, mode);
    }
    lock();
    int is_new = (flags & O_CREAT) && access(path, F_OK) < 0;
    int file = real_openat(folder, path, flags, mode);
    if (file >= FILES) stop("so many open files");
    if (file >= 0) {
        uint64_t what = (is_new ? 1 : 0) | (flags & O_TRUNC ? 2 : 0) | (flags & O_APPEND ? 4 : 0);
        handles[file] = record('O', 0, what, name, strlen(name), NULL, 0);
    }
    unlock();
    return file;
}

#define MODE(flags)                                                        \
    mode_t mode = 0;                                                       \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                 \
        va_list more;                                                      \
        va_start(more, flags);                                             \
        mode = va_arg(more, mode_t);                                       \
        va_end(more);                                                      \
    }

int open(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE(flags) return opened(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE(flags) return opened(folder, path, flags, mode); }
int creat(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }
int __open_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0); }

int close(int file) {
    /* The child of a vfork shares this memory until it starts another program. */
    if (handle_of(file) && getpid() == own_pid) handles[file] = 0;
    return real_close(file);
}

int dup(int file) {
    int copy = real_dup(file);
    if (copy >= 0 && handle_of(file)) handles[copy] = handles[file];
    return copy;
}

ssize_t write(int file, const void *data, size_t size) {
    uint32_t handle = handle_of(file);
    if (!handle) return real_write(file, data, size);
    lock();
    off_t at = fcntl(file, F_GETFL) & O_APPEND ? lseek(file, 0, SEEK_END) : lseek(file, 0, SEEK_CUR);
    record('W', handle, at, data, size, NULL, 0);
    ssize_t done = real_write(file, data, size);
    unlock();
    return done;
}

ssize_t pwrite(int file, const void *data, size_t size, off_t at) {
    uint32_t handle = handle_of(file);
    if (!handle) return real_pwrite(file, data, size, at);
    lock();
    record('W', handle, at, data, size, NULL, 0);
    ssize_t done = real_pwrite(file, data, size, at);
    unlock();
    return done;
}
ssize_t pwrite64(int file, const void *data, size_t size, off_t at) { return pwrite(file, data, size, at); }

int ftruncate(int file, off_t size) {
    uint32_t handle = handle_of(file);
    if (!handle) return real_ftruncate(file, size);
    lock();
    record('T', handle, size, NULL, 0, NULL, 0);
    int done = real_ftruncate(file, size);
    unlock();
    return done;
}
int ftruncate64(int file, off_t size) { return ftruncate(file, size); }

/* Do `call`, and record it where it was done. */
#define NAMED(kind, first, second, call)                                                     \
    char whole_first[PATH_MAX], whole_second[PATH_MAX];                                      \
    const char *one = below(first, whole_first), *two = below(second, whole_second);         \
    if (one == NULL && two == NULL) return call;                                             \
    if (one == NULL || two == NULL) stop("a name that leaves the folder");                   \
    lock();                                                                                  \
    int done = call;                                                                         \
    if (done == 0) record(kind, 0, 0, one, strlen(one), two, strlen(two));                   \
    unlock();                                                                                \
    return done;

int rename(const char *from, const char *to) { NAMED('R', from, to, real_rename(from, to)) }
int link(const char *from, const char *to) { NAMED('L', from, to, real_link(from, to)) }
int linkat(int one_folder, const char *from, int other_folder, const char *to, int flags) {
    if (one_folder != AT_FDCWD || other_folder != AT_FDCWD) {
        if (handle_of(one_folder) || handle_of(other_folder)) stop("linkat");
        return real_linkat(one_folder, from, other_folder, to, flags);
    }
    NAMED('L', from, to, real_linkat(one_folder, from, other_folder, to, flags))
}
int unlink(const char *path) { NAMED('U', path, path, real_unlink(path)) }
int mkdir(const char *path, mode_t mode) { NAMED('M', path, path, real_mkdir(path, mode)) }
int rmdir(const char *path) { NAMED('D', path, path, real_rmdir(path)) }

int unlinkat(int folder, const char *path, int flags) {
    if (folder != AT_FDCWD && path[0] != '/') {
        if (handle_of(folder)) stop("unlinkat");
        return real_unlinkat(folder, path, flags);
    }
    return flags & AT_REMOVEDIR ? rmdir(path) : unlink(path);
}

/* A flush, of one file (F) or of all below the folder (S), takes all along that was recorded when it began, and counts
 * from its end. */
static int flushed(char kind, int file, uint32_t handle) {
    lock();
    uint32_t until = shared->entries;
    unlock();
    if (delay_us) usleep(rand() % delay_us);
    lock();
    record(kind, handle, until, NULL, 0, NULL, 0);
    unlock();
    return fcntl(file, F_GETFD) < 0 ? -1 : 0;
}

int fsync(int file) {
    uint32_t handle = handle_of(file);
    return handle ? flushed('F', file, handle) : real_fsync(file);
}
int fdatasync(int file) {
    uint32_t handle = handle_of(file);
    return handle ? flushed('F', file, handle) : real_fdatasync(file);
}

int syncfs(int file) {
    uint32_t handle = handle_of(file);
    return handle ? flushed('S', file, handle) : real_syncfs(file);
}

void *mmap(void *at, size_t size, int protection, int flags, int file, off_t from) {
    if (handle_of(file) && (flags & MAP_SHARED) && (protection & PROT_WRITE)) stop("mmap");
    return real_mmap(at, size, protection, flags, file, from);
}
void *mmap64(void *at, size_t size, int protection, int flags, int file, off_t from) {
    return mmap(at, size, protection, flags, file, from);
}

/* What writes in another way ends the program. */
#define UNKNOWN(result, name, arguments, values, file)                             \
    result name arguments {                                                        \
        if (handle_of(file)) stop(#name);                                          \
        result(*real) arguments = dlsym(RTLD_NEXT, #name);                         \
        return real values;                                                        \
    }

UNKNOWN(ssize_t, writev, (int file, const struct iovec *parts, int count), (file, parts, count), file)
UNKNOWN(ssize_t, pwritev, (int file, const struct iovec *parts, int count, off_t at), (file, parts, count, at), file)
UNKNOWN(ssize_t, pwritev2, (int file, const struct iovec *parts, int count, off_t at, int flags),
        (file, parts, count, at, flags), file)
UNKNOWN(ssize_t, sendfile, (int file, int from, off_t *at, size_t size), (file, from, at, size), file)
UNKNOWN(ssize_t, sendfile64, (int file, int from, off_t *at, size_t size), (file, from, at, size), file)
UNKNOWN(ssize_t, copy_file_range, (int from, off_t *one, int file, off_t *other, size_t size, unsigned flags),
        (from, one, file, other, size, flags), file)
UNKNOWN(int, fallocate, (int file, int mode, off_t at, off_t size), (file, mode, at, size), file)
UNKNOWN(int, posix_fallocate, (int file, off_t at, off_t size), (file, at, size), file)
UNKNOWN(int, posix_fallocate64, (int file, off_t at, off_t size), (file, at, size), file)

int truncate(const char *path, off_t size) {
    char whole[PATH_MAX];
    if (below(path, whole)) stop("truncate");
    return real_truncate(path, size);
}
