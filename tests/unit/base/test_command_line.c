/* SPDX-License-Identifier: Apache-2.0 */
/* test_command_line.c - command lines of Windows: there and back, and what cmd.exe must not be given */
#include "tests/unit/test.h"

#include "core/base/command_line.h"
#include "core/base/utf16.h"

#ifdef _WIN32
#include <windows.h>

#include <shellapi.h>
#endif

static char *join(char *const *argv)
{
	struct mf_strbuf b = MF_STRBUF_INIT(4 * MF_COMMAND_LINE_UNITS_MAX);
	struct mf_err err = { 0 };

	assert_int_equal(mf_command_line_join(argv, &b, &err), 0);
	return b.str;
}

static void arguments_are_quoted_where_they_must_be(void **state)
{
	static const struct {
		const char *argv[5], *line;
	} rows[] = {
		{ { "a.exe" }, "a.exe" },
		{ { "a.exe", "b", "c" }, "a.exe b c" },
		{ { "C:\\Program Files\\a.exe", "b c" }, "\"C:\\Program Files\\a.exe\" \"b c\"" },
		{ { "C:\\with blank\\", "x" }, "\"C:\\with blank\\\" x" },
		{ { "a", "" }, "a \"\"" },
		{ { "a", "\"" }, "a \"\\\"\"" },
		{ { "a", "b\\c", "b\\" }, "a b\\c b\\" },
		{ { "a", "b c\\" }, "a \"b c\\\\\"" },
		{ { "a", "b\\\"c" }, "a \"b\\\\\\\"c\"" },
		{ { "a", "b\\\\ c" }, "a \"b\\\\ c\"" },
		{ { "a", "\xc3\xa9\t" }, "a \"\xc3\xa9\t\"" },
	};

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(rows); i++) {
		char *argv[5], *line;

		memcpy(argv, rows[i].argv, sizeof(argv));
		line = join(argv);
		assert_string_equal(line, rows[i].line);
		free(line);
	}
}

static void lines_are_split_as_windows_does(void **state)
{
	static const struct {
		const char *line, *argv[6];
	} rows[] = {
		{ "a b c", { "a", "b", "c" } },
		{ "", { "" } },
		{ "  a", { "", "a" } },
		{ "a  \t b", { "a", "b" } },
		{ "\"a b\" c", { "a b", "c" } },
		{ "\"a\\\" c", { "a\\", "c" } },
		{ "\"a\"b c", { "a", "b", "c" } },
		{ "a \"b\"\"c\" d", { "a", "b\"c d" } },
		{ "a \"\"\"b c\"\"\" d", { "a", "\"b", "c\"", "d" } },
		{ "a \\\\\\\"b", { "a", "\\\"b" } },
		{ "a \\\\\"b c\"", { "a", "\\b c" } },
		{ "a b\\\\c", { "a", "b\\\\c" } },
		{ "a \"b", { "a", "b" } },
		{ "a \"\"", { "a", "" } },
		{ "a b\"c d\"e", { "a", "bc de" } },
	};

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(rows); i++) {
		size_t cnt, n = 0;
		char **argv = mf_command_line_split(rows[i].line, &cnt);

		assert_non_null(argv);
		for (; rows[i].argv[n]; n++) {
			assert_true(n < cnt);
			assert_string_equal(argv[n], rows[i].argv[n]);
		}
		assert_int_equal(n, cnt);
		assert_null(argv[cnt]);
		free(argv);
	}
}

/* Texts of what matters to the rules, and a character outside the BMP. */
static void random_text(uint64_t *seed, char *buf, unsigned max, const char *const *parts,
			unsigned part_cnt)
{
	unsigned cnt = test_below(seed, max);

	*buf = '\0';
	while (cnt--)
		strcat(buf, parts[test_below(seed, part_cnt)]);
}

static void what_is_joined_splits_into_the_same(void **state)
{
	static const char *const parts[] = { "\\", "\"", " ", "\t", "a", "\\\\", "\xf0\x9f\x94\x91",
					     "\n", "'",	 "%", "\v" };
	uint64_t seed = 42;

	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		char text[6][64], *argv[7] = { 0 }, **again, *line;
		unsigned cnt = 1 + test_below(&seed, 6);
		size_t got;

		for (unsigned i = 0; i < cnt; i++) {
			random_text(&seed, text[i], 12, parts, MF_ARRAY_SIZE(parts));
			argv[i] = text[i];
		}
		// A program's name has its own rules.
		strcpy(text[0], round % 2 ? "C:\\a b\\c.exe" : "c");
		line = join(argv);
		again = mf_command_line_split(line, &got);
		assert_non_null(again);
		assert_int_equal(got, cnt);
		for (unsigned i = 0; i < cnt; i++)
			assert_string_equal(again[i], argv[i]);
		free(again);
		free(line);
	}
}

#ifdef _WIN32
static void lines_are_split_as_this_windows_does(void **state)
{
	static const char *const parts[] = { "\\", "\"", " ", "\t", "a", "\"\"", "\\\"" };
	uint64_t seed = 43;

	(void)state;
	for (unsigned round = 0; round < 5000; round++) {
		char line[64], text[256];
		uint16_t wide[64];
		char **argv;
		wchar_t **want;
		int n, want_cnt;
		size_t cnt;

		strcpy(line, "x ");
		random_text(&seed, line + 2, 14, parts, MF_ARRAY_SIZE(parts));
		n = mf_utf16_from_utf8(line, strlen(line), wide, 63);
		assert_true(n > 0);
		wide[n] = 0;
		want = CommandLineToArgvW((wchar_t *)wide, &want_cnt);
		argv = mf_command_line_split(line, &cnt);
		assert_non_null(want);
		assert_non_null(argv);
		assert_int_equal(cnt, want_cnt);
		for (size_t i = 0; i < cnt; i++) {
			assert_true(mf_utf8_from_utf16((uint16_t *)want[i], wcslen(want[i]), text,
						       sizeof(text)) >= 0);
			assert_string_equal(argv[i], text);
		}
		LocalFree(want);
		free(argv);
	}
}
#endif

static void what_cannot_be_said_is_refused(void **state)
{
	struct mf_strbuf b = MF_STRBUF_INIT(4 * MF_COMMAND_LINE_UNITS_MAX);
	static char big[MF_COMMAND_LINE_UNITS_MAX + 1];
	char *none[] = { NULL }, *quote[] = { (char[]){ "a\"b" }, NULL };
	char *bad[] = { (char[]){ "a" }, (char[]){ "\xff" }, NULL };
	char *large[] = { (char[]){ "a" }, big, NULL };
	struct mf_err err = { 0 };
	char *line = calloc(1, 2 * MF_COMMAND_LINE_ARGS_MAX + 8);

	(void)state;
	assert_int_equal(mf_command_line_join(none, &b, &err), MF_E_INVAL);
	assert_int_equal(mf_command_line_join(quote, &b, &err), MF_E_INVAL);
	assert_int_equal(mf_command_line_join(bad, &b, &err), MF_E_SYNTAX);
	assert_non_null(strstr(err.msg, "argument 1"));
	// "a " and 32,764 characters are 32,766, and the NUL makes 32,767.
	memset(big, 'x', sizeof(big) - 1);
	big[32764] = '\0';
	mf_strbuf_clear(&b);
	assert_int_equal(mf_command_line_join(large, &b, &err), 0);
	big[32764] = 'x';
	big[32765] = '\0';
	mf_strbuf_clear(&b);
	assert_int_equal(mf_command_line_join(large, &b, &err), MF_E_LIMIT);
	assert_non_null(strstr(err.msg, "32767 characters"));
	mf_strbuf_done(&b);
	assert_non_null(line);
	for (unsigned i = 0; i < MF_COMMAND_LINE_ARGS_MAX; i++)
		memcpy(line + 2 * i, "a ", 2);
	free(mf_command_line_split(line, NULL));
	strcat(line, "a a a");
	assert_null(mf_command_line_split(line, NULL));
	free(line);
}

static void batch_files_get_no_argument_that_cmd_reads_otherwise(void **state)
{
	static const char *const batches[] = { "a.bat", "A.BAT", "x\\b.Cmd", "a.cmd.", "a.bat . " };
	static const char *const others[] = { "a.exe", "bat", "a.bat.exe", "cmd", ".ba", "" };
	static const char *const bad[] = { "\"", "%PATH%", "a&b", "a|b",  "^",
					   "<",	 ">",	   "!x!", "a\nb", "(" };

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(batches); i++)
		assert_true(mf_command_line_is_batch(batches[i]));
	for (size_t i = 0; i < MF_ARRAY_SIZE(others); i++)
		assert_false(mf_command_line_is_batch(others[i]));
	for (size_t i = 0; i < MF_ARRAY_SIZE(bad); i++) {
		char name[] = "a.bat", fine[] = "fine arg", arg[16];
		char *argv[] = { name, fine, arg, NULL };
		struct mf_err err = { 0 };

		strcpy(arg, bad[i]);
		assert_int_equal(mf_command_line_check_batch(argv, &err), MF_E_INVAL);
		argv[2] = NULL;
		assert_int_equal(mf_command_line_check_batch(argv, &err), 0);
	}
}

/* A block with '\n' for NUL, so that it can be written down. */
static void assert_block(const char *const *envp, const char *want)
{
	uint16_t *block = NULL;
	size_t units = 0, i = 0;
	struct mf_err err = { 0 };
	char *copies[8] = { 0 };

	for (; envp[i]; i++)
		copies[i] = strdup(envp[i]);
	assert_int_equal(mf_environment_block(copies, &block, &units, &err), 0);
	assert_int_equal(units, strlen(want));
	for (i = 0; i < units; i++)
		assert_int_equal(block[i], want[i] == '\n' ? 0 : want[i]);
	free(block);
	for (i = 0; copies[i]; i++)
		free(copies[i]);
}

static void environments_are_sorted_and_each_key_is_there_once(void **state)
{
	char *bad[] = { (char[]){ "OK=1" }, (char[]){ "BAD=\xff" }, NULL };
	struct mf_err err = { 0 };
	uint16_t *block = NULL;

	(void)state;
	assert_block((const char *[]){ NULL }, "\n\n");
	assert_block((const char *[]){ "b=2", "A=1", "c=3", NULL }, "A=1\nb=2\nc=3\n\n");
	assert_block((const char *[]){ "Path=x", "PATH=y", "path=z", NULL }, "path=z\n\n");
	// A key that is another's beginning comes first; '_' sorts behind letters.
	assert_block((const char *[]){ "AB=2", "A=1", "A_=3", NULL }, "A=1\nAB=2\nA_=3\n\n");
	assert_block((const char *[]){ "=C:=C:\\x", "none", "", "=", "V=", NULL },
		     "=C:=C:\\x\nV=\n\n");
	assert_int_equal(mf_environment_block(bad, &block, NULL, &err), MF_E_SYNTAX);
	assert_non_null(strstr(err.msg, "BAD"));
}

static void utf16_is_strict_both_ways(void **state)
{
	static const uint16_t pair[] = { 0xd83d, 0xdd11 }, half[] = { 'a', 0xd83d },
			      low[] = { 0xdd11, 'a' };
	uint16_t units[4];
	char text[8];

	(void)state;
	assert_int_equal(mf_utf8_from_utf16(pair, 2, text, sizeof(text)), 4);
	assert_string_equal(text, "\xf0\x9f\x94\x91");
	assert_int_equal(mf_utf8_from_utf16(pair, 2, text, 5), 4);
	assert_int_equal(mf_utf8_from_utf16(pair, 2, text, 4), MF_E_LIMIT);
	assert_int_equal(mf_utf8_from_utf16(half, 2, text, sizeof(text)), MF_E_SYNTAX);
	assert_int_equal(mf_utf8_from_utf16(low, 2, text, sizeof(text)), MF_E_SYNTAX);
	assert_int_equal(mf_utf8_from_utf16(pair, 0, text, 1), 0);
	assert_int_equal(mf_utf8_from_utf16(pair, 0, text, 0), MF_E_LIMIT);
	assert_int_equal(mf_utf16_from_utf8("\xf0\x9f\x94\x91", 4, units, 2), 2);
	assert_memory_equal(units, pair, 4);
	assert_int_equal(mf_utf16_from_utf8("\xf0\x9f\x94\x91", 4, units, 1), MF_E_LIMIT);
	assert_int_equal(mf_utf16_from_utf8("\xed\xa0\xbd", 3, units, 4), MF_E_SYNTAX);
	for (uint32_t c = 1; c < 0x10000; c++) {
		uint16_t one = (uint16_t)c, back = 0;
		int n = mf_utf8_from_utf16(&one, 1, text, sizeof(text));

		if (c >= 0xd800 && c < 0xe000) {
			assert_int_equal(n, MF_E_SYNTAX);
			continue;
		}
		assert_true(n > 0);
		assert_int_equal(mf_utf16_from_utf8(text, (size_t)n, &back, 1), 1);
		assert_int_equal(back, c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arguments_are_quoted_where_they_must_be),
		cmocka_unit_test(lines_are_split_as_windows_does),
		cmocka_unit_test(what_is_joined_splits_into_the_same),
#ifdef _WIN32
		cmocka_unit_test(lines_are_split_as_this_windows_does),
#endif
		cmocka_unit_test(what_cannot_be_said_is_refused),
		cmocka_unit_test(batch_files_get_no_argument_that_cmd_reads_otherwise),
		cmocka_unit_test(environments_are_sorted_and_each_key_is_there_once),
		cmocka_unit_test(utf16_is_strict_both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
