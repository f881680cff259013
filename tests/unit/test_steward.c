/* test_steward.c is the gateway as an attacker has it: it holds that end of the channels and says what it likes. The steward
 * has to answer, to bind what the configuration names, and to do nothing else. */
#include "server/steward_work.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cmocka.h>

#define REFUSED "Permission denied: the configuration does not name it"

struct world {
	char file[64];
	int control, names, files; /* our ends */
	struct steward_work work;
	pthread_t obeying, answering, opening;
	int its_names, its_files;
	char root[64], door[80];
	struct steward_report report;
	int fd[CHANNEL_FDS_MAX];
	size_t fds;
};

/* A descriptor on which so many messages can't be sent yet. */
static _Atomic int lean = -1, lean_for, lean_errno;

static bool is_lean(int fd)
{
	if (fd != lean || lean_for == 0)
		return false;
	lean_for--;
	errno = lean_errno;
	return true;
}

/* These stand in front of the C library's. */
ssize_t send(int fd, const void *message, size_t size, int flags)
{
	return is_lean(fd) ? -1 : syscall(SYS_sendto, fd, message, size, flags, NULL, 0);
}

ssize_t sendmsg(int fd, const struct msghdr *head, int flags)
{
	return is_lean(fd) ? -1 : syscall(SYS_sendmsg, fd, head, flags);
}

static void make_lean(int fd, int times, int error)
{
	lean = fd;
	lean_errno = error;
	lean_for = times;
}

static void *obey(void *arg)
{
	steward_obey(arg);
	return NULL;
}

static void *answer(void *arg)
{
	steward_answer((int)(intptr_t)arg);
	return NULL;
}

static void *open_files(void *arg)
{
	struct world *world = arg;
	steward_open(&world->work, world->its_files);
	return NULL;
}

static void write_configuration(const struct world *world, const char *addresses)
{
	FILE *file = fopen(world->file, "w");

	assert_non_null(file);
	fprintf(file, "[listen a]\naddress = %s\ntls = on\n[tls t]\ncertificate = %s.pem\n[route r]\nhost = *\ntarget = echo:\n[route w]\nroot = %s\n",
	        addresses, world->root, world->root);
	assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	int control[2], names[2], files[2];
	char addresses[256];
	struct err err;

	err_init(&err);
	snprintf(world->file, sizeof(world->file), "/tmp/sallyport-steward.%d.conf", getpid());
	snprintf(world->root, sizeof(world->root), "/tmp/sallyport-steward.%d", getpid());
	assert_int_equal(mkdir(world->root, 0700), 0);
	snprintf(world->door, sizeof(world->door), "unix:%s/door", world->root);
	snprintf(addresses, sizeof(addresses), "127.0.0.1:0, localhost:0, desk.test:0, fd:x, unix:@sallyport-steward.%d, %s", getpid(), world->door);
	write_configuration(world, addresses);
	struct settings *settings = settings_read(world->file, NULL, &err);
	assert_non_null(settings);
	assert_int_equal(channel_pair(control), 0);
	assert_int_equal(channel_pair(names), 0);
	assert_int_equal(channel_pair(files), 0);
	world->control = control[0];
	world->names = names[0];
	world->files = files[0];
	world->its_names = names[1];
	world->its_files = files[1];
	world->work = (struct steward_work){ .settings = settings, .file = world->file, .control = control[1],
		                           .lock = PTHREAD_MUTEX_INITIALIZER };
	pthread_create(&world->obeying, NULL, obey, &world->work);
	pthread_create(&world->answering, NULL, answer, (void *)(intptr_t)names[1]);
	pthread_create(&world->opening, NULL, open_files, world);
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	close(world->control);
	close(world->names);
	close(world->files);
	pthread_join(world->obeying, NULL); /* all end with the gateway */
	pthread_join(world->answering, NULL);
	pthread_join(world->opening, NULL);
	close(world->work.control);
	close(world->its_names);
	close(world->its_files);
	for (size_t i = 0; i < world->work.made_count; i++)
		bind_close(&world->work.made[i]);
	free(world->work.made);
	settings_free(world->work.next);
	settings_free(world->work.settings);
	unlink(world->file);
	assert_int_equal(rmdir(world->root), 0);
	free(world);
	return 0;
}

static void hear(struct world *world)
{
	world->fds = CHANNEL_FDS_MAX;
	assert_int_equal(channel_receive_fds(world->control, &world->report, sizeof(world->report), world->fd, &world->fds), 0);
	for (size_t i = 0; i < world->fds; i++)
		close(world->fd[i]);
}

static struct steward_order order_for(uint32_t act, const char *text)
{
	struct steward_order order;

	memset(&order, 0, sizeof(order));
	order.act = act;
	snprintf(order.text, sizeof(order.text), "%s", text);
	return order;
}

static void give(struct world *world, const struct steward_order *order)
{
	assert_int_equal(channel_send(world->control, order, sizeof(*order), NULL, 0), 0);
	hear(world);
}

static void check_refused(struct world *world, const struct steward_order *order, const char *words)
{
	give(world, order);
	assert_int_equal(world->report.result, -1);
	assert_int_equal(world->fds, 0);
	assert_non_null(strstr(world->report.words, words));
}

static void check_bound(struct world *world, const char *text)
{
	const struct steward_order order = order_for(STEWARD_BIND, text);

	give(world, &order);
	assert_int_equal(world->report.result, 0);
	assert_true(world->fds > 0);
}

/* --- the tests ------------------------------------------------------------------------------------------------------ */

static void binds_what_is_named(void **state)
{
	char abstract[64];

	check_bound(*state, "127.0.0.1:0");
	check_bound(*state, "localhost:0");
	snprintf(abstract, sizeof(abstract), "unix:@sallyport-steward.%d", getpid());
	check_bound(*state, abstract);
}

static void binds_nothing_else(void **state)
{
	static const char *const others[] = { "127.0.0.1:1", "127.0.0.2:0", "*:0", "", "fd:x", "unix:/tmp/sallyport-steward.sock", "unix:@other",
		                               "/etc/shadow" };

	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		const struct steward_order order = order_for(STEWARD_BIND, others[i]);
		check_refused(*state, &order, REFUSED);
	}
	assert_int_equal(access("/tmp/sallyport-steward.sock", F_OK), -1);
}

static int32_t unbind(struct world *world, const char *text)
{
	const struct steward_order order = order_for(STEWARD_UNBIND, text);

	give(world, &order);
	assert_int_equal(world->fds, 0);
	return world->report.result;
}

static void socket_files_go_with_an_order_of_their_own(void **state)
{
	struct world *world = *state;
	const char *path = world->door + strlen("unix:");

	assert_int_equal(unbind(world, world->door), -1); /* there is none */
	check_bound(world, world->door);
	assert_int_equal(access(path, F_OK), 0);
	check_bound(world, world->door); /* nobody listens on the first any more */
	assert_int_equal(unbind(world, world->door), 0);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(unbind(world, world->door), -1);
}

static void files_that_it_did_not_make_stay(void **state)
{
	struct world *world = *state;
	const char *path = world->door + strlen("unix:");

	check_bound(world, world->door);
	assert_int_equal(rename(world->file, path), 0); /* in its place */
	assert_int_equal(unbind(world, world->door), 0);
	assert_int_equal(rename(path, world->file), 0);
	assert_int_equal(unbind(world, world->file), -1);
	assert_int_equal(unbind(world, ""), -1);
	assert_int_equal(access(world->file, F_OK), 0);
}

static void the_log_is_opened_where_the_start_had_it(void **state)
{
	struct world *world = *state;
	const struct steward_order order = order_for(STEWARD_LOG, "/etc/passwd");
	char path[80];

	check_refused(world, &order, "no file");
	snprintf(path, sizeof(path), "%s/log", world->root);
	world->work.log = path; /* the thread waits for an order */
	give(world, &order);
	assert_true(world->report.result == 0 && world->fds == 1);
	assert_int_equal(unlink(path), 0);
}

/* A number is bound as it stands; a name leads to addresses of its port, and to no more of them than there may be. */
static void believes_no_addresses_of_numbers_and_other_ports(void **state)
{
	struct steward_order order = order_for(STEWARD_BIND, "127.0.0.1:0");
	const struct sockaddr_in other = { .sin_family = AF_INET, .sin_port = htons(1), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	order.known = 1;
	order.found.count = 1;
	memcpy(&order.found.addr[0].sa, &other, sizeof(other));
	order.found.addr[0].len = sizeof(other);
	check_refused(*state, &order, REFUSED);
	snprintf(order.text, sizeof(order.text), "desk.test:0");
	check_refused(*state, &order, REFUSED);
	((struct sockaddr_in *)&order.found.addr[0].sa)->sin_port = 0;
	give(*state, &order);
	assert_int_equal(((struct world *)*state)->report.result, 0);
	order.found.count = SIZE_MAX;
	check_refused(*state, &order, REFUSED);
}

static void reads_the_configuration_itself(void **state)
{
	struct world *world = *state;
	const struct steward_order later = order_for(STEWARD_BIND, "127.0.0.3:0"), now = order_for(STEWARD_READ, "");

	check_refused(world, &later, REFUSED);
	write_configuration(world, "127.0.0.3:0");
	give(world, &now);
	assert_int_equal(world->report.result, 0);
	check_bound(world, "127.0.0.3:0");
	write_configuration(world, "nonsense:nonsense");
	check_refused(world, &now, world->file);
	check_refused(world, &later, REFUSED); /* it is no more what may be in force soon */
	check_bound(world, "127.0.0.1:0");     /* what is wrong changes nothing */
}

static void what_the_gateway_refused_counts_no_more(void **state)
{
	struct world *world = *state;
	const struct steward_order later = order_for(STEWARD_BIND, "127.0.0.3:0"), read = order_for(STEWARD_READ, ""),
	                           drop = order_for(STEWARD_DROP, ""), take = order_for(STEWARD_TAKE, "");

	write_configuration(world, "127.0.0.3:0");
	give(world, &read);
	give(world, &drop);
	assert_int_equal(world->report.result, 0);
	check_refused(world, &later, REFUSED);
	give(world, &take); /* nothing */
	check_refused(world, &later, REFUSED);
	check_bound(world, "127.0.0.1:0");
}

static void malformed_orders_are_refused(void **state)
{
	struct world *world = *state;
	struct steward_order order = order_for(0, "127.0.0.1:0");
	char large[sizeof(order) + 1] = { STEWARD_BIND };
	int pipes[2];

	check_refused(world, &order, "does not do that");
	order.act = UINT32_MAX;
	check_refused(world, &order, "does not do that");
	order.act = STEWARD_BIND;
	memset(order.text, 'a', sizeof(order.text)); /* no end */
	check_refused(world, &order, "does not do that");
	for (size_t size = 1; size <= sizeof(large); size += size == 1 ? sizeof(order) - 2 : 2) {
		assert_int_equal(channel_send(world->control, large, size, NULL, 0), 0);
		hear(world);
		assert_int_equal(world->report.result, -1);
	}
	assert_int_equal(pipe(pipes), 0); /* a descriptor that nobody asked for is nobody's */
	order = order_for(STEWARD_BIND, "127.0.0.1:0");
	assert_int_equal(channel_send(world->control, &order, sizeof(order), &pipes[1], 1), 0);
	close(pipes[1]);
	hear(world);
	assert_int_equal(world->report.result, 0);
	assert_int_equal(read(pipes[0], large, 1), 0);
	close(pipes[0]);
}

static void ask(const struct world *world, const void *question, size_t size, struct resolved *found)
{
	assert_int_equal(channel_send(world->names, question, size, NULL, 0), 0);
	assert_int_equal(channel_receive(world->names, found, sizeof(*found)), 0);
}

static void answers_questions_and_survives_others(void **state)
{
	struct steward_question question;
	struct resolved found;

	memset(&question, 'a', sizeof(question)); /* no end */
	ask(*state, &question, sizeof(question), &found);
	assert_true(found.count == 0 && found.error == EAI_FAIL);
	ask(*state, &question, 3, &found);
	assert_true(found.count == 0 && found.error == EAI_FAIL);
	memset(&question, 0, sizeof(question));
	memcpy(question.host, "127.0.0.9", sizeof("127.0.0.9"));
	ask(*state, &question, sizeof(question), &found);
	assert_true(found.count == 1 && found.addr[0].sa.ss_family == AF_INET);
}

static int32_t open_at(const struct world *world, const char *root, const char *path)
{
	struct steward_file order;
	struct steward_file_answer answer;
	int fd;
	size_t fds = 1;

	memset(&order, 0, sizeof(order));
	snprintf(order.root, sizeof(order.root), "%s", root);
	snprintf(order.path, sizeof(order.path), "%s", path);
	assert_int_equal(channel_send(world->files, &order, sizeof(order), NULL, 0), 0);
	assert_int_equal(channel_receive_fds(world->files, &answer, sizeof(answer), &fd, &fds), 0);
	assert_int_equal(fds, answer.error == 0);
	if (fds > 0)
		close(fd);
	return answer.error;
}

static void opens_files_below_web_roots_alone(void **state)
{
	const struct world *world = *state;
	char path[96];

	snprintf(path, sizeof(path), "%s/a.txt", world->root);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fclose(file);
	assert_int_equal(open_at(world, world->root, "a.txt"), 0);
	assert_int_equal(open_at(world, world->root, "b.txt"), ENOENT);
	assert_int_equal(open_at(world, world->root, "."), EISDIR);
	assert_int_equal(open_at(world, world->root, ".."), EXDEV);
	assert_int_equal(open_at(world, world->root, "../../etc/passwd"), EXDEV);
	assert_int_equal(open_at(world, world->root, "/etc/passwd"), ENOENT); /* below it, that is */
	assert_int_equal(open_at(world, "/etc", "passwd"), EACCES);
	assert_int_equal(open_at(world, "/tmp", "a.txt"), EACCES);
	unlink(path);
}

/* What is read may be opened before it is in force, and what was in force until something else is. */
static void opens_what_the_configuration_names(void **state)
{
	struct world *world = *state;
	const struct steward_order read = order_for(STEWARD_READ, ""), take = order_for(STEWARD_TAKE, "");
	char before[96], path[96];

	snprintf(before, sizeof(before), "%s.pem", world->root);
	snprintf(path, sizeof(path), "%s.d.pem", world->root);
	assert_int_equal(mkfifo(before, 0600), 0);
	assert_int_equal(open_at(world, "", world->file), 0);
	assert_int_equal(open_at(world, "", "/tmp/conf.d"), access("/tmp/conf.d", F_OK) == 0 ? 0 : ENOENT);
	assert_int_equal(open_at(world, "", "/tmp/conf.d/none.conf"), ENOENT);
	assert_int_equal(open_at(world, "", before), ENXIO); /* who would write to it would not wait */
	static const char *const others[] = { "", "/etc/passwd", "/tmp/conf.d/.conf", "/tmp/conf.d/../a.conf", "/tmp/conf.d/a.pem", "/tmp/conf.d/" };
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_int_equal(open_at(world, "", others[i]), EACCES);
	assert_int_equal(open_at(world, "", world->root), EACCES);
	assert_int_equal(open_at(world, "", path), EACCES);
	snprintf(world->root + strlen(world->root), 3, ".d");
	write_configuration(world, "127.0.0.3:0");
	give(world, &read);
	assert_int_equal(open_at(world, "", path), ENOENT);
	assert_int_equal(open_at(world, "", before), ENXIO);
	give(world, &take);
	give(world, &take); /* once more is nothing more */
	assert_int_equal(open_at(world, "", path), ENOENT);
	assert_int_equal(open_at(world, "", before), EACCES);
	world->root[strlen(world->root) - 2] = '\0';
	unlink(before);
}

static void malformed_orders_open_nothing(void **state)
{
	const struct world *world = *state;
	struct steward_file order;
	struct steward_file_answer answer;

	memset(&order, 'a', sizeof(order)); /* no end */
	for (size_t size = sizeof(order); size > 0; size = size == 1 ? 0 : 1) {
		assert_int_equal(channel_send(world->files, &order, size, NULL, 0), 0);
		assert_int_equal(channel_receive(world->files, &answer, sizeof(answer)), 0);
		assert_int_equal(answer.error, size == 1 ? EINVAL : EACCES);
	}
}

/* A lack of memory or buffers passes, and no thread ends of it: an answer comes late, or without what can't be sent. */
static void a_passing_lack_is_survived(void **state)
{
	struct world *world = *state;
	struct steward_order order = order_for(STEWARD_BIND, world->door);
	struct steward_question question = { .host = "127.0.0.9" };
	struct resolved found;
	char path[96];

	make_lean(world->its_names, 2, ENOBUFS);
	ask(world, &question, sizeof(question), &found);
	assert_int_equal(found.count, 1);

	snprintf(path, sizeof(path), "%s.conf", world->root);
	make_lean(world->its_files, 2, ETOOMANYREFS);
	assert_int_equal(open_at(world, "", path), ETOOMANYREFS);
	assert_int_equal(open_at(world, "", path), 0);

	make_lean(world->work.control, 2, ENOMEM);
	check_refused(world, &order, strerror(ENOMEM));
	assert_int_equal(access(world->door + strlen("unix:"), F_OK), -1);
	check_bound(world, world->door);
	assert_int_equal(unbind(world, world->door), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(binds_what_is_named),
		TEST(binds_nothing_else),
		TEST(socket_files_go_with_an_order_of_their_own),
		TEST(files_that_it_did_not_make_stay),
		TEST(the_log_is_opened_where_the_start_had_it),
		TEST(believes_no_addresses_of_numbers_and_other_ports),
		TEST(reads_the_configuration_itself),
		TEST(what_the_gateway_refused_counts_no_more),
		TEST(malformed_orders_are_refused),
		TEST(opens_files_below_web_roots_alone),
		TEST(opens_what_the_configuration_names),
		TEST(malformed_orders_open_nothing),
		TEST(answers_questions_and_survives_others),
		TEST(a_passing_lack_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
