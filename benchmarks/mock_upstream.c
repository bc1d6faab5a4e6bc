/* The upstream of the benchmarks: it answers at once and costs as little as possible, so that what is measured is
 * the gateway before it.
 *
 *     mock_upstream PORT [CHUNKS]          listens on 127.0.0.1, one thread, until it is killed
 *
 *     POST .../embeddings                  a small embedding
 *     POST with "stream": true             CHUNKS chat chunks (200 by default) at once; where the body also holds the
 *                                          word "slow", one chunk every TICK_MS milliseconds
 *     a body with "echo: WORDS"            one chat completion that says WORDS, up to the next quote
 *     GET .../echoes                       how many of those there were, as text
 *     any other request                    one chat completion
 *
 * A stream carries a usage chunk only if the request asks for include_usage, as OpenAI's does; the closing events
 * travel with the last chunk, so that both kinds take equally long. All slow streams share one clock. A tick that
 * came late is made up for: the rate holds even when this process had to wait for its core.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { TICK_MS = 5, BACKLOG = 4096, EVENTS = 512, MOST_CHUNKS = 100000, MOST_REQUEST = 64 << 20 };

/* Bytes that grow; `sent` of them are gone already. */
struct bytes {
    char *at;
    size_t length, room, sent;
};

struct connection {
    int fd;
    bool watching_for_room;            /* epoll tells us when the socket takes bytes again */
    struct bytes in, out;
    int next_chunk;                    /* of a slow stream; -1 when none is under way */
    bool wants_usage;
    struct connection *before, *after; /* among the slow streams */
};

static int epoll;
static int chunk_count = 200;
static struct bytes *chunks;           /* framed for chunked transfer coding, like the ones below */
static long echoes;                    /* answered so far */
static struct bytes plain, embedding, stream_head, tail, tail_with_usage;
static struct bytes burst, burst_with_usage;
static struct connection streams = {.before = &streams, .after = &streams};

static void die(const char *what) {
    perror(what);
    exit(1);
}

/* ---- bytes ---- */

static void append(struct bytes *bytes, const char *data, size_t length) {
    if (bytes->length + length + 1 > bytes->room) {
        bytes->room = (bytes->length + length + 1) * 2;
        bytes->at = realloc(bytes->at, bytes->room);
        if (!bytes->at) die("realloc");
    }
    memcpy(bytes->at + bytes->length, data, length);
    bytes->length += length;
    bytes->at[bytes->length] = 0;
}

static void append_bytes(struct bytes *bytes, const struct bytes *more) { append(bytes, more->at, more->length); }

__attribute__((format(printf, 2, 3))) static void append_text(struct bytes *bytes, const char *format, ...) {
    char *text;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 0) die("vasprintf");
    append(bytes, text, (size_t)length);
    free(text);
}

/* ---- the answers, made once ---- */

static void append_event(struct bytes *bytes, const char *json) {
    append_text(bytes, "%zx\r\ndata: %s\n\n\r\n", strlen(json) + 8, json);
}

static struct bytes json_answer(const char *json) {
    struct bytes answer = {0};
    append_text(&answer, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n%s",
                strlen(json), json);
    return answer;
}

static void make_chunk(int index) {
    struct bytes json = {0};
    append_text(&json,
                "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,"
                "\"model\":\"mock\",\"system_fingerprint\":\"fp_bench\",\"choices\":[{\"index\":0,\"delta\":{");
    if (index == 0) append_text(&json, "\"role\":\"assistant\",");
    append_text(&json, "\"content\":\" word%d\"},\"logprobs\":null,\"finish_reason\":%s}]}", index,
                index == chunk_count - 1 ? "\"stop\"" : "null");
    append_event(&chunks[index], json.at);
    free(json.at);
}

static void make_answers(void) {
    plain = json_answer(
        "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1760000000,\"model\":\"mock\","
        "\"system_fingerprint\":\"fp_bench\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
        "\"content\":\"A stone bridge crosses the river below the mill. In spring the water reaches the second step, "
        "and the miller's cat moves to the roof until it falls again.\",\"refusal\":null},\"logprobs\":null,"
        "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":27,\"completion_tokens\":34,"
        "\"total_tokens\":61}}");
    embedding = json_answer(
        "{\"object\":\"list\",\"model\":\"mock\",\"data\":[{\"object\":\"embedding\",\"index\":0,\"embedding\":"
        "[0.5,-0.5,0.5,-0.5]}],\"usage\":{\"prompt_tokens\":4,\"total_tokens\":4}}");
    append_text(&stream_head,
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
    struct bytes usage = {0};
    append_text(&usage,
                "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,"
                "\"model\":\"mock\",\"system_fingerprint\":\"fp_bench\",\"choices\":[],\"usage\":{"
                "\"prompt_tokens\":27,\"completion_tokens\":%d,\"total_tokens\":%d}}",
                chunk_count, chunk_count + 27);
    append_event(&tail_with_usage, usage.at);
    free(usage.at);
    append_event(&tail, "[DONE]");
    append_text(&tail, "0\r\n\r\n");
    append_bytes(&tail_with_usage, &tail);

    chunks = calloc((size_t)chunk_count, sizeof *chunks);
    if (!chunks) die("calloc");
    append_bytes(&burst, &stream_head);
    for (int index = 0; index < chunk_count; index++) {
        make_chunk(index);
        append_bytes(&burst, &chunks[index]);
    }
    append_bytes(&burst_with_usage, &burst);
    append_bytes(&burst, &tail);
    append_bytes(&burst_with_usage, &tail_with_usage);
}

/* ---- connections ---- */

static void watch(struct connection *connection, bool for_room, int how) {
    struct epoll_event event = {.events = EPOLLIN | (for_room ? EPOLLOUT : 0), .data.ptr = connection};
    if (epoll_ctl(epoll, how, connection->fd, &event) < 0) die("epoll_ctl");
    connection->watching_for_room = for_room;
}

static void leave_streams(struct connection *connection) {
    if (connection->next_chunk < 0) return;
    connection->before->after = connection->after;
    connection->after->before = connection->before;
    connection->next_chunk = -1;
}

static void join_streams(struct connection *connection) {
    connection->next_chunk = 0;
    connection->before = streams.before;
    connection->after = &streams;
    streams.before->after = connection;
    streams.before = connection;
}

static void hang_up(struct connection *connection) {
    leave_streams(connection);
    close(connection->fd);
    free(connection->in.at);
    free(connection->out.at);
    free(connection);
}

/* Sends what waits in `out`; false when the peer has gone. */
static bool flush(struct connection *connection) {
    struct bytes *out = &connection->out;
    while (out->sent < out->length) {
        ssize_t count = write(connection->fd, out->at + out->sent, out->length - out->sent);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0 && errno != EAGAIN) return false;
        if (count < 0) {
            if (!connection->watching_for_room) watch(connection, true, EPOLL_CTL_MOD);
            return true;
        }
        out->sent += (size_t)count;
    }
    out->length = out->sent = 0;
    if (connection->watching_for_room) watch(connection, false, EPOLL_CTL_MOD);
    return true;
}

static bool holds(const char *body, size_t length, const char *word) {
    return memmem(body, length, word, strlen(word)) != NULL;
}

/* Says back what stands behind "echo: "; the caller has found it. */
static void answer_echo(struct connection *connection, const char *words, const char *end) {
    const char *quote = memchr(words, '"', (size_t)(end - words));
    int length = (int)((quote ? quote : end) - words);
    echoes++;
    struct bytes json = {0};
    append_text(&json,
                "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1760000000,\"model\":\"mock\","
                "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"%.*s\"},"
                "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":7,"
                "\"total_tokens\":16}}",
                length, words);
    struct bytes told = json_answer(json.at);
    append_bytes(&connection->out, &told);
    free(told.at);
    free(json.at);
}

static void answer(struct connection *connection, bool embeds, const char *body, size_t length) {
    bool streamed = holds(body, length, "\"stream\":true") || holds(body, length, "\"stream\": true");
    bool counted = holds(body, length, "\"include_usage\":true") || holds(body, length, "\"include_usage\": true");
    const char *echo = memmem(body, length, "echo: ", 6);
    if (embeds) {
        append_bytes(&connection->out, &embedding);
    } else if (!streamed && echo) {
        answer_echo(connection, echo + 6, body + length);
    } else if (!streamed) {
        append_bytes(&connection->out, &plain);
    } else if (!holds(body, length, "slow")) {
        append_bytes(&connection->out, counted ? &burst_with_usage : &burst);
    } else {
        connection->wants_usage = counted;
        append_bytes(&connection->out, &stream_head);
        join_streams(connection);
    }
}

/* Answers each complete request in `in`; false when the connection cannot go on. */
static bool answer_requests(struct connection *connection) {
    struct bytes *in = &connection->in;
    while (connection->next_chunk < 0 && in->length) {
        char *end = memmem(in->at, in->length, "\r\n\r\n", 4);
        if (!end) break;
        *end = 0;
        char *field = strcasestr(in->at, "\r\ncontent-length:");
        size_t body_length = field ? strtoul(field + 17, NULL, 10) : 0;
        char *line_end = strchr(in->at, '\r');
        bool embeds = holds(in->at, line_end ? (size_t)(line_end - in->at) : strlen(in->at), "/embeddings");
        bool counts = holds(in->at, line_end ? (size_t)(line_end - in->at) : strlen(in->at), "/echoes ");
        *end = '\r';
        size_t head_length = (size_t)(end - in->at) + 4;
        if (body_length > MOST_REQUEST) return false;
        if (in->length < head_length + body_length) break;
        if (counts) {
            char text[32];
            snprintf(text, sizeof text, "%ld", echoes);
            struct bytes told = json_answer(text);
            append_bytes(&connection->out, &told);
            free(told.at);
        } else {
            answer(connection, embeds, in->at + head_length, body_length);
        }
        in->length -= head_length + body_length;
        memmove(in->at, in->at + head_length + body_length, in->length);
        in->at[in->length] = 0;
    }
    return flush(connection);
}

static void receive(struct connection *connection) {
    static char data[1 << 16];
    ssize_t count = read(connection->fd, data, sizeof data);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) {
        hang_up(connection);
        return;
    }
    append(&connection->in, data, (size_t)count);
    if (connection->in.length > MOST_REQUEST || !answer_requests(connection)) hang_up(connection);
}

static void welcome(int listener) {
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct connection *connection = calloc(1, sizeof *connection);
        if (!connection) die("calloc");
        connection->fd = fd;
        connection->next_chunk = -1;
        watch(connection, false, EPOLL_CTL_ADD);
    }
}

/* Gives every slow stream its next chunk. */
static void tick(void) {
    struct connection *after;
    for (struct connection *connection = streams.after; connection != &streams; connection = after) {
        after = connection->after;
        append_bytes(&connection->out, &chunks[connection->next_chunk++]);
        bool whole = connection->next_chunk == chunk_count;
        if (whole) {
            append_bytes(&connection->out, connection->wants_usage ? &tail_with_usage : &tail);
            leave_streams(connection);
        }
        /* A request that arrived meanwhile is answered now. */
        if (!(whole ? answer_requests(connection) : flush(connection))) hang_up(connection);
    }
}

/* ---- start ---- */

static int listen_on(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0) die("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) die("bind");
    if (listen(fd, BACKLOG) < 0) die("listen");
    return fd;
}

static int start_clock(void) {
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct timespec period = {.tv_nsec = TICK_MS * 1000000L};
    struct itimerspec every = {.it_interval = period, .it_value = period};
    if (fd < 0 || timerfd_settime(fd, 0, &every, NULL) < 0) die("timerfd");
    return fd;
}

static void watch_own(int *fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, *fd, &event) < 0) die("epoll_ctl");
}

int main(int count, char **words) {
    int port = count > 1 ? atoi(words[1]) : 0;
    if (count > 2) chunk_count = atoi(words[2]);
    if (port <= 0 || port > 65535 || chunk_count <= 0 || chunk_count > MOST_CHUNKS) {
        fprintf(stderr, "usage: mock_upstream PORT [CHUNKS]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    make_answers();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    int listener = listen_on(port), clock = start_clock();
    watch_own(&listener);
    watch_own(&clock);
    struct epoll_event events[EVENTS];
    for (;;) {
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        uint64_t ticks = 0;
        for (int place = 0; place < ready; place++) {
            void *whose = events[place].data.ptr;
            struct connection *connection = whose;
            if (whose == &listener) {
                welcome(listener);
            } else if (whose == &clock) {
                if (read(clock, &ticks, sizeof ticks) != sizeof ticks) ticks = 0;
            } else if (events[place].events & (EPOLLERR | EPOLLHUP)) {
                hang_up(connection);
            } else if ((events[place].events & EPOLLOUT) && !flush(connection)) {
                hang_up(connection);
            } else if (events[place].events & EPOLLIN) {
                receive(connection);
            }
        }
        /* After the loop: a tick may hang up a connection that still had an event in this round. */
        while (ticks--) tick();
    }
}
