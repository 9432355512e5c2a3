/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dev_servers.h - which development servers listen on this host now, what they speak, and what each could be called
 *
 *	struct mf_dev_servers_options o = { .size = sizeof(o), .uids = &uid, .uid_cnt = 1, .told = told, .ctx = x };
 *	struct mf_dev_servers *d;
 *
 *	if (mf_dev_servers_start(base, &o, &d, &err) < 0) ...
 *	event_base_dispatch(base);		// told(x, MF_DEV_APPEARED, server) ...
 *	mf_dev_servers_stop(d);
 *
 * The kernel's table of listening sockets is read every tick (400 ms; some 0.3 ms of CPU), and at once when a known server's
 * process ends. What is new there gets its owner looked up and its project read by a thread of ours, so that neither a large
 * /proc nor a slow disk holds the loop, and is then asked once what it speaks: HEAD, a TLS hello, an HTTP/2 preface, each on a
 * connection of its own that waits 100 ms at most. Only then is it told of: within a second of its first listen().
 *
 * Seen are TCP listeners on loopback and on any-address, of the users asked for, in the network namespace where
 * mf_dev_servers_start() was called: servers in containers with a network of their own are not. Never connected to, and not
 * told of: privileged ports, blocked ports, this process' own listeners. Told of, but never connected to: processes that are
 * known to be something else (databases, sshd), and the ports that such servers usually have.
 *
 * Trust: everything here is what a local program says of itself. A user who may listen on loopback may propose any name that
 * is free; whoever routes by these names decides whom to believe (options.uids). Project files are read with the rights of
 * the server's user, never through a symbolic link, only if they are that user's or root's, and 64 KiB at most.
 *
 * Threads: the interface belongs to the thread of the loop; callbacks come from there.
 */
#ifndef MF_PROXIES_DEV_SERVERS_H
#define MF_PROXIES_DEV_SERVERS_H

#include <jansson.h>

#include "core/base/addr.h"
#include "core/base/err.h"

struct event_base;
struct mf_dev_servers;

/* More servers at a time than this are not listed, and counted (stats.left_out). */
#define MF_DEV_SERVERS_MAX 256
/* Listeners of one server that are remembered: families, addresses, workers with SO_REUSEPORT. */
#define MF_DEV_LISTENERS_MAX 16
#define MF_DEV_NAME_ROOM     80 /* a label of 63 bytes, ".localhost" and NUL */
#define MF_DEV_PATH_ROOM     512
#define MF_DEV_PROCESS_ROOM  32

/* What a server answered. */
enum mf_dev_speech {
	MF_DEV_SILENT, /* took the connection and said nothing in time: a server that is still starting, or none of these */
	MF_DEV_HTTP,   /* HTTP/1 in clear */
	MF_DEV_TLS,
	MF_DEV_H2C,   /* HTTP/2 in clear only, by prior knowledge: gRPC */
	MF_DEV_OTHER, /* another protocol, or a server that is not connected to */
	MF_DEV_SPEECH_NUM
};

enum mf_dev_kind {
	MF_DEV_UNKNOWN,
	MF_DEV_VITE,
	MF_DEV_NEXT,
	MF_DEV_NUXT,
	MF_DEV_ASTRO,
	MF_DEV_SVELTEKIT,
	MF_DEV_REMIX,
	MF_DEV_ANGULAR,
	MF_DEV_REACT_SCRIPTS, /* create-react-app */
	MF_DEV_WEBPACK,
	MF_DEV_PARCEL,
	MF_DEV_EXPRESS,
	MF_DEV_NODE,
	MF_DEV_DENO,
	MF_DEV_BUN,
	MF_DEV_DJANGO,
	MF_DEV_FLASK,
	MF_DEV_FASTAPI,
	MF_DEV_JUPYTER,
	MF_DEV_PYTHON_HTTP, /* python -m http.server */
	MF_DEV_PYTHON,
	MF_DEV_RAILS,
	MF_DEV_JEKYLL,
	MF_DEV_RUBY,
	MF_DEV_LARAVEL,
	MF_DEV_PHP,
	MF_DEV_SPRING,
	MF_DEV_JAVA,
	MF_DEV_DOTNET,
	MF_DEV_PHOENIX,
	MF_DEV_HUGO,
	MF_DEV_GO,
	MF_DEV_RUST,
	MF_DEV_OPENSSL, /* openssl s_server */
	MF_DEV_NGINX,
	MF_DEV_CADDY,
	MF_DEV_CONTAINER, /* a container engine's forwarder: the server itself is out of sight */
	MF_DEV_SERVICE,	  /* a database, sshd ...: never connected to */
	MF_DEV_KIND_NUM
};

/* A server: one process, or several that share a port. Borrowed: valid for the callback, or until the loop runs again. */
struct mf_dev_server {
	uint64_t id; /* stays while the server is listed; never used again */
	/* Where to connect to: for any-address the loopback address; IPv4's where it serves both families. */
	struct mf_endpoint at;
	bool on_v4, on_v6;   /* answers on 127.0.0.0/8, on ::1 */
	bool on_any_address; /* listens beyond loopback, too */
	uint32_t uid;
	uint32_t pid; /* 0: not known, the system did not let us look */
	char process[MF_DEV_PROCESS_ROOM];
	char cwd[MF_DEV_PATH_ROOM]; /* the process' working directory; "" unknown or too long */
	char project
		[MF_DEV_PATH_ROOM]; /* the directory upwards of it with a project's files; "" none */
	enum mf_dev_kind kind;
	enum mf_dev_speech speech;
	/*
	 * The name proposed, "shop.localhost": from package.json, else the project's directory. No other listed server has
	 * it; "" for servers that speak none of HTTP, TLS and h2c, or of which nothing is known to call them by.
	 */
	char name[MF_DEV_NAME_ROOM];
	uint64_t first_seen_ms, last_seen_ms; /* since 1970 */
};

enum mf_dev_change {
	MF_DEV_APPEARED,
	MF_DEV_CHANGED, /* anything but last_seen_ms: restarted, another process, speaks something else now */
	MF_DEV_DISAPPEARED,
	MF_DEV_CHANGE_NUM
};

/* Must not call mf_dev_servers_stop(). */
typedef void (*mf_dev_servers_fn)(void *ctx, enum mf_dev_change change,
				  const struct mf_dev_server *server);

/* Zero means the default everywhere. All arrays are copied. */
struct mf_dev_servers_options {
	size_t size; /* sizeof(struct mf_dev_servers_options) */
	/* Whose servers; none: those of this process' effective user. Others than one's own need root. */
	const uint32_t *uids;
	size_t uid_cnt;
	bool every_uid; /* whosever: uids is not looked at */
	/* Ports that are never looked at, besides those below 1024: the service's own listeners in other processes. */
	const uint16_t *skip_ports;
	size_t skip_port_cnt;
	/* Names that must not be proposed, besides localhost and moonfence.localhost: manual maps. May be NULL. */
	bool (*is_taken)(void *ctx, const char *name);
	mf_dev_servers_fn told; /* may be NULL: who only lists */
	void *ctx;		/* of both */
	uint32_t tick_ms;	/* between two looks at the listeners: 400 */
	uint32_t probe_ms;	/* a connection's limit: 100 */
	uint32_t probes_max;	/* connections of ours at a time: 4 */
};

struct mf_dev_servers_stats {
	size_t size;		      /* in: sizeof(struct mf_dev_servers_stats) */
	uint64_t ticks, failed_ticks; /* looks at the kernel's table; those that it refused */
	uint64_t servers, left_out;   /* listed now; not listed since the start for want of room */
	uint64_t probes, probes_late; /* connections made; those that ended by the limit */
	uint64_t look_ups, unowned;   /* owners looked for; those not found or not readable */
};

/**
 * mf_dev_servers_start() - Begin to look; what listens already is told of from the loop, soon
 * Return: 0; MF_E_UNSUPPORTED: this system's side is not written; MF_E_IO: no netlink socket; MF_E_INVAL; MF_E_NOMEM
 */
int mf_dev_servers_start(struct event_base *base, const struct mf_dev_servers_options *options,
			 struct mf_dev_servers **ret, struct mf_err *err);

/** mf_dev_servers_stop() - Nothing is told any more; NULL is fine. Waits for a look-up that is under way. */
void mf_dev_servers_stop(struct mf_dev_servers *d);

/** mf_dev_servers_next() - All that are listed, by first_seen_ms: the one after @prev, the first after NULL, NULL at the end */
const struct mf_dev_server *mf_dev_servers_next(const struct mf_dev_servers *d,
						const struct mf_dev_server *prev);

/** mf_dev_servers_find() - By proposed name, canonical (core/names); NULL: nobody's */
const struct mf_dev_server *mf_dev_servers_find(const struct mf_dev_servers *d, const char *name);

/** mf_dev_servers_rename() - After what options.is_taken says has changed: names are chosen anew where they are taken now */
void mf_dev_servers_rename(struct mf_dev_servers *d);

void mf_dev_servers_get_stats(const struct mf_dev_servers *d, struct mf_dev_servers_stats *ret);

/**
 * mf_dev_server_to_json() - An object with all fields by their names here, and "url", where there is a name
 * Return: a new reference, NULL without memory
 */
json_t *mf_dev_server_to_json(const struct mf_dev_server *server);

const char *
mf_dev_speech_name(enum mf_dev_speech speech);	      /* "http", "tls", "h2c", "other", "silent" */
const char *mf_dev_kind_name(enum mf_dev_kind kind);  /* "vite", "next", ... "unknown" */
const char *mf_dev_kind_title(enum mf_dev_kind kind); /* "Vite", "Next.js", ... for people */
const char *mf_dev_change_name(enum mf_dev_change change); /* "appeared", ... */

#endif
