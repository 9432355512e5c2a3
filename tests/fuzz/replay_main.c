// Replays the files of a corpus folder through one fuzz target, so that ordinary builds run every kept input.
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *buf;
	long size;
	size_t n;

	if (!f) {
		perror(path);
		return 1;
	}
	fseek(f, 0, SEEK_END);
	size = ftell(f);
	rewind(f);
	// Exactly as large as the input, so that AddressSanitizer sees a read past its end.
	buf = malloc(size > 0 ? (size_t)size : 1);
	n = buf ? fread(buf, 1, (size_t)size, f) : 0;
	fclose(f);
	if (buf)
		LLVMFuzzerTestOneInput(buf, n);
	free(buf);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned cnt = 0;
	int rc = 0;

	for (int i = 1; i < argc; i++) {
		DIR *dir = opendir(argv[i]);
		struct dirent *e;

		if (!dir) {
			perror(argv[i]);
			return 1;
		}
		while ((e = readdir(dir))) {
			char path[4096];

			if (e->d_name[0] == '.')
				continue;
			snprintf(path, sizeof(path), "%s/%s", argv[i], e->d_name);
			rc |= replay_file(path);
			cnt++;
		}
		closedir(dir);
	}
	printf("%u inputs replayed\n", cnt);
	// An empty corpus would be a test that cannot fail.
	return cnt ? rc : 1;
}
