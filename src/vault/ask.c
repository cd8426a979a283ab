/*
 * Secrets from outside: one line of a descriptor, or a person at the terminal who types
 * without being seen.  What passes through here lies in guarded memory from the first byte.
 *
 * Deliberately the only place that reads a terminal; who may be asked, and for what, is the
 * caller's business.
 */
#include "vault_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <termios.h>
#include <unistd.h>

#define LINE_MAX_BYTES ((size_t)64 << 10)

/* A line that grows in guarded memory; filled from the front. */
struct line {
	unsigned char *p; /* owned; sodium_malloc */
	size_t n;
};

static struct cn_secret *line_done(struct line *l, bool keep)
{
	struct cn_secret *s = keep ? cn_secret__copy(l->p, l->n) : NULL;
	sodium_free(l->p);
	return s;
}

static ssize_t read_byte(int fd, unsigned char *ret)
{
	ssize_t n;
	do
		n = read(fd, ret, 1);
	while (n < 0 && errno == EINTR);
	return n;
}

/* Byte by byte, because the next line of the descriptor may be another secret for another
 * reader. */
int cn_secret_read_fd(int fd, struct cn_secret **ret, struct cn_error *reterr)
{
	struct line l = {sodium_malloc(LINE_MAX_BYTES + 1), 0};
	cn_assert(l.p);
	ssize_t n;
	while ((n = read_byte(fd, l.p + l.n)) > 0 && l.p[l.n] != '\n')
		if (++l.n > LINE_MAX_BYTES) {
			(void)line_done(&l, false);
			return cn_fail(reterr, CN_E_LIMIT,
			               "more than 64 KiB in one line of descriptor %d", fd);
		}
	int error = n < 0 ? errno : 0;
	if (l.n > 0 && n > 0 && l.p[l.n - 1] == '\r')
		l.n--; /* a file written elsewhere */
	if (error || l.n == 0) {
		(void)line_done(&l, false);
		return error ? cn_fail(reterr, CN_E_IO, "cannot read descriptor %d: %s", fd,
		                       strerror(error))
		             : cn_fail(reterr, CN_E_INVALID,
		                       "descriptor %d gave an empty line", fd);
	}
	*ret = line_done(&l, true);
	return 0;
}

static void say(int tty, const char *text)
{
	size_t n = strlen(text);
	while (n > 0) {
		ssize_t written = write(tty, text, n);
		if (written < 0 && errno != EINTR)
			return; /* the terminal is gone; reading will say so */
		if (written > 0) {
			text += written;
			n -= (size_t)written;
		}
	}
}

/* Takes back one character of UTF-8. */
static void erase(struct line *l)
{
	while (l->n > 0 && (l->p[--l->n] & 0xc0) == 0x80)
		;
}

/* What a key does; 0 goes on, 1 ends the line, -1 gives up. */
static int on_key(struct line *l, unsigned char key)
{
	switch (key) {
	case '\r':
	case '\n':
		return 1;
	case 0x03: /* ^C */
	case 0x04: /* ^D */
		return -1;
	case 0x08:
	case 0x7f:
		erase(l);
		return 0;
	case 0x15: /* ^U */
		l->n = 0;
		return 0;
	default:
		if (key < 0x20 || l->n >= LINE_MAX_BYTES)
			return 0; /* an arrow key, or a cat on the keyboard */
		l->p[l->n++] = key;
		return 0;
	}
}

static int type_line(int tty, struct line *l)
{
	unsigned char key;
	int end = 0;
	while (end == 0)
		end = read_byte(tty, &key) == 1 ? on_key(l, key) : -1;
	cn_wipe(&key, sizeof(key));
	return end;
}

/*
 * The keyboard makes no signals meanwhile, and others wait: a process that dies here would
 * leave a terminal that shows nothing.
 */
static int type_unseen(int tty, struct line *l)
{
	struct termios before, unseen;
	sigset_t block, mask;
	if (tcgetattr(tty, &before) != 0)
		return -1;
	sigemptyset(&block);
	sigaddset(&block, SIGINT);
	sigaddset(&block, SIGTERM);
	sigaddset(&block, SIGHUP);
	sigaddset(&block, SIGTSTP);
	(void)pthread_sigmask(SIG_BLOCK, &block, &mask); /* cannot fail: a valid `how` */
	unseen = before;
	unseen.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
	unseen.c_cc[VMIN] = 1;
	unseen.c_cc[VTIME] = 0;
	int end = tcsetattr(tty, TCSAFLUSH, &unseen) == 0 ? type_line(tty, l) : -1;
	(void)tcsetattr(tty, TCSAFLUSH, &before); /* nothing more to try */
	(void)pthread_sigmask(SIG_SETMASK, &mask, NULL);
	return end;
}

int cn_secret_prompt(const char *prompt, struct cn_secret **ret, struct cn_error *reterr)
{
	int tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (tty < 0)
		return cn_fail(reterr, CN_E_LOCKED,
		               "there is no terminal to ask for a secret on");
	struct line l = {sodium_malloc(LINE_MAX_BYTES), 0};
	cn_assert(l.p);
	say(tty, prompt);
	int end = type_unseen(tty, &l);
	say(tty, "\n");
	close(tty);
	struct cn_secret *s = line_done(&l, end > 0);
	if (!s)
		return cn_fail(reterr, CN_E_LOCKED, "nothing was entered");
	*ret = s;
	return 0;
}
