/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main.c - the program: options, signals, the socket file, exit code.
 *
 * Follows the backend program conventions of the specification: --socket-path or --fd, no
 * daemon, SIGTERM ends it. Exit code 0 after SIGTERM, SIGINT or the end of a connection given by
 * --fd; 1 if the system fails us; 2 for wrong usage.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "fault.h"
#include "log.h"
#include "server.h"

#define MAIN_VERSION "0.1"
#define MAIN_FAILED 1
#define MAIN_USAGE 2

#define MAIN_NO_FD UINT64_MAX
/* As many mappings of one client as the table is made for. */
#define MAIN_MAX_DMA_MAPS_VALUE 262144u

struct main_options {
	struct server_options server;
	const char *path;
	uint64_t fd;		/* MAIN_NO_FD: not given */
};

enum main_option {
	MAIN_SOCKET_PATH = 1,
	MAIN_FD,
	MAIN_PROFILE,
	MAIN_MAX_MSG_FDS,
	MAIN_MAX_DATA_XFER_SIZE,
	MAIN_MAX_DMA_MAPS,
	MAIN_DEVICES,
	MAIN_WITH,
	MAIN_WITHOUT,
	MAIN_REQUIRE,
	MAIN_VIOMMU_DIALECT,
	MAIN_MAX_PASIDS,
	MAIN_T_PARTIAL,
	MAIN_T_IDLE,
	MAIN_T_DMA,
	MAIN_T_DRAIN,
	MAIN_DMA_THREADS,
	MAIN_TABLE_BYTES,
	MAIN_WINDOWS,
	MAIN_WINDOW_BYTES,
	MAIN_DIRTY_BYTES,
	MAIN_FAULT,
	MAIN_VERBOSE,
	MAIN_HELP,
	MAIN_SHOW_VERSION,
};

static const struct option main_long_options[] = {
	{ "socket-path", required_argument, NULL, MAIN_SOCKET_PATH },
	{ "fd", required_argument, NULL, MAIN_FD },
	{ "profile", required_argument, NULL, MAIN_PROFILE },
	{ "max-msg-fds", required_argument, NULL, MAIN_MAX_MSG_FDS },
	{ "max-data-xfer-size", required_argument, NULL, MAIN_MAX_DATA_XFER_SIZE },
	{ "max-dma-maps", required_argument, NULL, MAIN_MAX_DMA_MAPS },
	{ "devices", required_argument, NULL, MAIN_DEVICES },
	{ "with", required_argument, NULL, MAIN_WITH },
	{ "without", required_argument, NULL, MAIN_WITHOUT },
	{ "require", required_argument, NULL, MAIN_REQUIRE },
	{ "viommu-dialect", required_argument, NULL, MAIN_VIOMMU_DIALECT },
	{ "max-pasids", required_argument, NULL, MAIN_MAX_PASIDS },
	{ "t-partial", required_argument, NULL, MAIN_T_PARTIAL },
	{ "t-idle", required_argument, NULL, MAIN_T_IDLE },
	{ "t-dma", required_argument, NULL, MAIN_T_DMA },
	{ "t-drain", required_argument, NULL, MAIN_T_DRAIN },
	{ "dma-threads", required_argument, NULL, MAIN_DMA_THREADS },
	{ "table-bytes", required_argument, NULL, MAIN_TABLE_BYTES },
	{ "windows", required_argument, NULL, MAIN_WINDOWS },
	{ "window-bytes", required_argument, NULL, MAIN_WINDOW_BYTES },
	{ "dirty-bytes", required_argument, NULL, MAIN_DIRTY_BYTES },
	{ "fault", required_argument, NULL, MAIN_FAULT },
	{ "verbose", no_argument, NULL, MAIN_VERBOSE },
	{ "help", no_argument, NULL, MAIN_HELP },
	{ "version", no_argument, NULL, MAIN_SHOW_VERSION },
	{ NULL, 0, NULL, 0 },
};

static const char main_help[] =
	"usage: vuc-server --socket-path=PATH | --fd=N [OPTION...]\n"
	"A vfio-user server with a test device.\n"
	"\n"
	"  --socket-path=PATH       listen on this UNIX socket; a stale file is replaced\n"
	"  --fd=N                   use this descriptor: a listening socket, or a connected one,\n"
	"                           with whose end the program ends\n"
	"  --profile=full|vdma      the test device with everything (default), or bare\n"
	"  --without=NAME[,NAME]    leave out of the device: reset, migration, pre_copy,\n"
	"                           dma_logging, write_multiple; or this flag of all interrupts:\n"
	"                           eventfd, maskable, automasked, noresize\n"
	"  --with=NAME[,NAME]       give all interrupts this flag (eventfd ... noresize)\n"
	"  --require=write_multiple refuse clients that do not offer it\n"
	"  --viommu-dialect=NAME    the vIOMMU extension: off (default), native, poc, or auto\n"
	"  --max-pasids=N           address spaces of its PASIDs (1024)\n"
	"  --devices=N              clients at a time, each with its device (default 8)\n"
	"  --max-msg-fds=N          announced limits: descriptors in a message (16),\n"
	"  --max-data-xfer-size=N   bytes of one access (1048576),\n"
	"  --max-dma-maps=N         mappings (262144; one for each KiB of --table-bytes)\n"
	"  --dma-threads=N          threads for the DMA of a client (1); 0: all in one order\n"
	"  --table-bytes=N          quotas of a client: memory of its mappings (256 MiB),\n"
	"  --windows=N              parts of files that are mapped here (256), and\n"
	"  --window-bytes=N         their size (16 TiB),\n"
	"  --dirty-bytes=N          memory for the log of writes (64 MiB)\n"
	"  --t-partial=MS           longest time for one message to arrive (30000)\n"
	"  --t-idle=MS              longest time in which a client reads nothing (60000)\n"
	"  --t-dma=MS               longest time for the reply to a DMA message (30000)\n"
	"  --t-drain=MS             longest time that DMA may delay a command (30000)\n"
	"  --fault=NAME|list|floods break one rule on purpose (only in the faulty build)\n"
	"  --verbose                log connections and refused commands\n"
	"  --help, --version\n";

static int main_usage(const char *text, const char *value)
{
	fprintf(stderr, "vuc-server: %s%s%s; see --help\n", text, value ? ": " : "",
		value ? value : "");
	return MAIN_USAGE;
}

/* A decimal number in [min, max] and nothing else: 0, or -EINVAL. */
static int main_number(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	if (errno || *end || text[0] < '0' || text[0] > '9')
		return -EINVAL;
	return *out < min || *out > max ? -EINVAL : 0;
}

static int main_profile(const char *name, enum device_profile *out)
{
	if (strcmp(name, "full") != 0 && strcmp(name, "vdma") != 0)
		return -EINVAL;
	*out = strcmp(name, "full") == 0 ? DEVICE_FULL : DEVICE_VDMA;
	return 0;
}

/* Which forms of the extension are spoken. */
static int main_dialect(const char *name, struct version_offer *offer)
{
	static const struct {
		const char *name;
		uint32_t version;
		enum version_poc poc;
	} dialects[] = {
		{ "off", 0, VERSION_POC_NEVER },
		{ "native", WIRE_VIOMMU_VERSION_1, VERSION_POC_NEVER },
		{ "poc", 0, VERSION_POC_ALWAYS },
		{ "auto", WIRE_VIOMMU_VERSION_1, VERSION_POC_AUTO },
	};

	for (size_t i = 0; i < sizeof(dialects) / sizeof(dialects[0]); i++) {
		if (strcmp(name, dialects[i].name) != 0)
			continue;
		offer->viommu.version = dialects[i].version;
		offer->poc = dialects[i].poc;
		return 0;
	}
	return -EINVAL;
}

/* What --without, --with and --require can name, and which of them may. */
static const struct main_feature {
	const char *name;
	uint32_t bits;		/* SERVER_*; 0: a capability */
} main_features[] = {
	{ "reset", SERVER_RESET },
	{ "migration", SERVER_MIGRATION },
	{ "pre_copy", SERVER_PRE_COPY },
	{ "dma_logging", SERVER_DMA_LOGGING },
	{ "eventfd", WIRE_IRQ_INFO_EVENTFD },
	{ "maskable", WIRE_IRQ_INFO_MASKABLE },
	{ "automasked", WIRE_IRQ_INFO_AUTOMASKED },
	{ "noresize", WIRE_IRQ_INFO_NORESIZE },
	{ WIRE_CAP_WRITE_MULTIPLE, 0 },
};

static const struct main_feature *main_find_feature(const char *name, size_t size)
{
	for (size_t i = 0; i < sizeof(main_features) / sizeof(main_features[0]); i++) {
		if (strlen(main_features[i].name) == size &&
		    memcmp(main_features[i].name, name, size) == 0)
			return &main_features[i];
	}
	return NULL;
}

/* One name of such a list: 0, or -EINVAL where the option does not take it. */
static int main_set_feature(struct server_options *server, enum main_option option,
			    const struct main_feature *feature)
{
	if (option == MAIN_WITHOUT) {
		server->without |= feature->bits;
		server->offer.no_write_multiple |= !feature->bits;
	} else if (option == MAIN_WITH) {
		server->with |= feature->bits;
		return feature->bits & SERVER_IRQ_FLAGS ? 0 : -EINVAL;
	} else {
		server->offer.needs_write_multiple = true;
		return feature->bits ? -EINVAL : 0;
	}
	return 0;
}

/* Names with commas between them. 0 or -EINVAL. */
static int main_set_features(struct server_options *server, enum main_option option,
			     const char *names)
{
	for (;;) {
		size_t size = strcspn(names, ",");
		const struct main_feature *feature = main_find_feature(names, size);

		if (!feature || main_set_feature(server, option, feature))
			return -EINVAL;
		if (!names[size])
			return 0;
		names += size + 1;
	}
}

/* Exits after the list; else 0 or -ENOENT. */
static int main_fault(const char *name)
{
#ifdef VUC_FAULTS
	if (strcmp(name, "list") != 0 && strcmp(name, "floods") != 0)
		return fault_select(name);
	fault_print(strcmp(name, "floods") == 0);
	exit(0);
#else
	(void)name;
	fprintf(stderr, "vuc-server: this build has no faults, vuc-server-faulty has\n");
	return -ENOENT;
#endif
}

/* Where the number of an option goes, and what it may be; one of the two places. */
struct main_number {
	uint64_t min, max;
	uint32_t *small;
	uint64_t *large;
};

static struct main_number main_number_of(struct main_options *options, enum main_option option)
{
	struct server_options *server = &options->server;
	struct version_offer *offer = &server->offer;
	struct dma_quotas *quotas = &server->quotas;
	const uint64_t ms = UINT32_MAX, bytes = UINT64_C(1) << 62;

	switch (option) {
	case MAIN_MAX_MSG_FDS:
		return (struct main_number){ 0, MSG_MAX_FDS, &offer->max_msg_fds, NULL };
	case MAIN_MAX_DATA_XFER_SIZE:
		return (struct main_number){ 1, 16 << 20, &offer->max_data_xfer_size, NULL };
	case MAIN_MAX_DMA_MAPS:
		return (struct main_number){ 0, UINT32_MAX, &offer->max_dma_maps, NULL };
	case MAIN_MAX_PASIDS:
		return (struct main_number){ 1, 1 << WIRE_VIOMMU_MAX_PASID_BITS,
					     &offer->viommu.max_pasids, NULL };
	case MAIN_DEVICES:
		return (struct main_number){ 1, SERVER_MAX_DEVICES, &server->devices, NULL };
	case MAIN_T_PARTIAL:
		return (struct main_number){ 1, ms, NULL, &server->t_partial };
	case MAIN_T_IDLE:
		return (struct main_number){ 1, ms, NULL, &server->t_idle };
	case MAIN_T_DMA:
		return (struct main_number){ 1, ms, NULL, &server->t_dma };
	case MAIN_T_DRAIN:
		return (struct main_number){ 1, ms, NULL, &server->t_drain };
	case MAIN_DMA_THREADS:
		return (struct main_number){ 0, DEVICE_MAX_THREADS, &server->dma_threads, NULL };
	case MAIN_TABLE_BYTES:
		return (struct main_number){ 1, bytes, NULL, &quotas->table_bytes };
	case MAIN_WINDOWS:
		return (struct main_number){ 1, WINDOW_MAX, &quotas->windows, NULL };
	case MAIN_WINDOW_BYTES:
		return (struct main_number){ 1, bytes, NULL, &quotas->window_bytes };
	case MAIN_DIRTY_BYTES:
		return (struct main_number){ 0, bytes, NULL, &quotas->dirty_bytes };
	case MAIN_FD:
		return (struct main_number){ 0, INT32_MAX, NULL, &options->fd };
	case MAIN_SOCKET_PATH:
	case MAIN_PROFILE:
	case MAIN_WITH:
	case MAIN_WITHOUT:
	case MAIN_REQUIRE:
	case MAIN_VIOMMU_DIALECT:
	case MAIN_FAULT:
	case MAIN_VERBOSE:
	case MAIN_HELP:
	case MAIN_SHOW_VERSION:
		break;
	}
	return (struct main_number){ 0, 0, NULL, NULL };
}

/* One option with a number. 0 or -EINVAL. */
static int main_set_number(struct main_options *options, enum main_option option, const char *text)
{
	const struct main_number number = main_number_of(options, option);
	uint64_t value;

	if (main_number(text, number.min, number.max, &value))
		return -EINVAL;
	if (number.small)
		*number.small = (uint32_t)value;
	else
		*number.large = value;
	return 0;
}

static int main_set(struct main_options *options, enum main_option option)
{
	switch (option) {
	case MAIN_SOCKET_PATH:
		options->path = optarg;
		return 0;
	case MAIN_PROFILE:
		return main_profile(optarg, &options->server.profile);
	case MAIN_WITH:
	case MAIN_WITHOUT:
	case MAIN_REQUIRE:
		return main_set_features(&options->server, option, optarg);
	case MAIN_VIOMMU_DIALECT:
		return main_dialect(optarg, &options->server.offer);
	case MAIN_FAULT:
		return main_fault(optarg);
	case MAIN_VERBOSE:
		log_verbose(true);
		return 0;
	case MAIN_HELP:
		fputs(main_help, stdout);
		exit(0);
	case MAIN_SHOW_VERSION:
		puts("vuc-server " MAIN_VERSION);
		exit(0);
	case MAIN_FD:
	case MAIN_MAX_PASIDS:
	case MAIN_MAX_MSG_FDS:
	case MAIN_MAX_DATA_XFER_SIZE:
	case MAIN_MAX_DMA_MAPS:
	case MAIN_DEVICES:
	case MAIN_T_PARTIAL:
	case MAIN_T_IDLE:
	case MAIN_T_DMA:
	case MAIN_T_DRAIN:
	case MAIN_DMA_THREADS:
	case MAIN_TABLE_BYTES:
	case MAIN_WINDOWS:
	case MAIN_WINDOW_BYTES:
	case MAIN_DIRTY_BYTES:
		return main_set_number(options, option, optarg);
	}
	return -EINVAL;
}

/* What is announced can really be had: the memory of the table is enough for it. */
static void main_keep_true(struct server_options *options)
{
	uint64_t maps = options->quotas.table_bytes / DMA_MAP_COST;

	if (options->offer.max_dma_maps > maps)
		options->offer.max_dma_maps = (uint32_t)maps;
}

/* 0, or the exit code after a message. */
static int main_parse(int argc, char **argv, struct main_options *options)
{
	int option, which = 0;

	while ((option = getopt_long(argc, argv, "", main_long_options, &which)) != -1) {
		if (option == '?')
			return MAIN_USAGE;
		if (main_set(options, (enum main_option)option))
			return main_usage("bad value", argv[optind - 1]);
	}
	if (optind < argc)
		return main_usage("unknown argument", argv[optind]);
	if (options->path && options->fd != MAIN_NO_FD)
		return main_usage("--socket-path and --fd exclude each other", NULL);
	if (!options->path && options->fd == MAIN_NO_FD)
		return main_usage("--socket-path or --fd is needed", NULL);
	main_keep_true(&options->server);
	return 0;
}

static int main_get(int fd, int option)
{
	int value = -1;
	socklen_t size = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &size) ? -errno : value;
}

/* The kind of an inherited socket decides what it is for. 0 or the exit code. */
static int main_use_fd(struct main_options *options)
{
	int fd = (int)options->fd;
	int listening = main_get(fd, SO_ACCEPTCONN);
	struct sockaddr_un peer;
	socklen_t size = sizeof(peer);

	if (main_get(fd, SO_DOMAIN) != AF_UNIX || main_get(fd, SO_TYPE) != SOCK_STREAM)
		return main_usage("--fd is not a UNIX stream socket", NULL);
	if (!listening && getpeername(fd, (struct sockaddr *)&peer, &size))
		return main_usage("--fd is neither listening nor connected", NULL);
	if (fcntl(fd, F_SETFD, FD_CLOEXEC))
		return MAIN_FAILED;
	options->server.connected = !listening;
	options->server.fd = fd;
	return 0;
}

/* Removes a socket file that nobody listens on. 0 if the path is free now, or -EADDRINUSE. */
static int main_remove_stale(const struct sockaddr_un *address)
{
	struct stat stat;
	int fd, error;

	if (lstat(address->sun_path, &stat) || !S_ISSOCK(stat.st_mode))
		return -EADDRINUSE;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	error = connect(fd, (const struct sockaddr *)address, sizeof(*address)) ? errno : 0;
	close(fd);
	if (error != ECONNREFUSED)
		return -EADDRINUSE;
	return unlink(address->sun_path) ? -errno : 0;
}

/* The access to the socket file is what the umask says. */
static int main_bind(int fd, const struct sockaddr_un *address)
{
	int error;

	if (!bind(fd, (const struct sockaddr *)address, sizeof(*address)))
		return 0;
	if (errno != EADDRINUSE)
		return -errno;
	error = main_remove_stale(address);
	if (error)
		return error;
	return bind(fd, (const struct sockaddr *)address, sizeof(*address)) ? -errno : 0;
}

/* 0 or the exit code. */
static int main_listen(struct main_options *options)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t size = strlen(options->path);
	int fd, error;

	if (size == 0 || size >= sizeof(address.sun_path))
		return main_usage("the socket path must have 1 to 107 bytes", options->path);
	memcpy(address.sun_path, options->path, size);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		log_info("socket: %s", strerror(errno));
		return MAIN_FAILED;
	}
	error = main_bind(fd, &address);
	if (!error && listen(fd, SOMAXCONN)) {
		error = -errno;
		unlink(options->path);
	}
	if (error) {
		log_info("%s: %s", options->path, strerror(-error));
		close(fd);
		return MAIN_FAILED;
	}
	options->server.fd = fd;
	return 0;
}

/* A descriptor that becomes readable on SIGTERM or SIGINT; -errno. */
static int main_signals(void)
{
	sigset_t stop;
	int fd;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	sigaddset(&stop, SIGINT);
	sigprocmask(SIG_BLOCK, &stop, NULL);
	fd = signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

/* Serves to the end; the exit code. */
static int main_serve(const struct main_options *options, int stop)
{
	struct server *server = NULL;
	int error = server_open(&server, &options->server);

	if (!error) {
		error = server_run(server, stop);
		server_close(server);
	}
	if (error)
		log_info("%s", strerror(-error));
	return error ? MAIN_FAILED : 0;
}

/* What is large goes back to the kernel when it is freed, whatever was freed before. */
static void main_memory(void)
{
#ifdef M_MMAP_THRESHOLD
	mallopt(M_MMAP_THRESHOLD, 128 << 10);
#endif
}

int main(int argc, char **argv)
{
	struct main_options options = {
		.server = {
			.fd = -1,
			.devices = 8,
			.profile = DEVICE_FULL,
			.offer = {
				.max_msg_fds = 16,
				.max_data_xfer_size = WIRE_DEFAULT_MAX_DATA_XFER_SIZE,
				.max_dma_maps = MAIN_MAX_DMA_MAPS_VALUE,
				.pgsizes = WIRE_DEFAULT_PGSIZES,
				.viommu = {
					.pasid_bits = WIRE_VIOMMU_MAX_PASID_BITS,
					.max_pasids = 1024,
					.address_bits = 64,
					.page_requests = CONFIG_PRI_CAPACITY,
					.unmap_range = true,
					.replace = true,
					.backing = true,
				},
			},
			.t_partial = 30000,
			.t_idle = 60000,
			.t_dma = 30000,
			.t_drain = 30000,
			.dma_threads = 1,
			.quotas = {
				.table_bytes = UINT64_C(256) << 20,
				.windows = WINDOW_QUOTA,
				.window_bytes = WINDOW_PAGE_QUOTA * WINDOW_PAGE,
				.dirty_bytes = DIRTY_QUOTA,
			},
		},
		.fd = MAIN_NO_FD,
	};
	int code = main_parse(argc, argv, &options);
	int stop;

	if (code)
		return code;
	main_memory();
	/* Before the socket exists: whoever sees it may already send SIGTERM. */
	stop = main_signals();
	if (stop < 0)
		return MAIN_FAILED;
	code = options.path ? main_listen(&options) : main_use_fd(&options);
	if (!code) {
		code = main_serve(&options, stop);
		if (options.path)
			unlink(options.path);
	}
	close(stop);
	return code;
}
