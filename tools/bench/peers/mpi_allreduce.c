/* All-reduce of floats by MPI, measured as allreduce_bench measures Sluice's.
 *
 *   mpi_allreduce MIN_BYTES MAX_BYTES FACTOR ITERATIONS WARMUP CHECK
 *
 * For each size: check the sum of other values, zeros, warm-up, then iterations of barrier and timed in-place
 * all-reduce, check again. Rank 0 prints one JSON line per size, as gloo_allreduce.py does. Compiled and started by
 * mpi_allreduce.py.
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int rank, ranks;

/* Small whole numbers: every order of adding them gives the same, exact sum. */
static long Check(float* data, long count, long salt) {
  for (long i = 0; i < count; ++i) data[i] = (float)((i + salt) % 61 + rank);
  MPI_Allreduce(MPI_IN_PLACE, data, (int)count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
  long wrong = 0;
  for (long i = 0; i < count; ++i) {
    const float sum = (float)ranks * (float)((i + salt) % 61) + (float)(ranks * (ranks - 1) / 2);
    if (data[i] != sum) ++wrong;
  }
  return wrong;
}

static int Ascending(const void* a, const void* b) {
  const double x = *(const double*)a, y = *(const double*)b;
  return (x > y) - (x < y);
}

static void Report(long count, double* times, int iterations, long wrong, int check) {
  long all_wrong = 0;
  MPI_Reduce(&wrong, &all_wrong, 1, MPI_LONG, MPI_SUM, 0, MPI_COMM_WORLD);
  MPI_Allreduce(MPI_IN_PLACE, times, iterations, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
  if (rank != 0) return;
  qsort(times, (size_t)iterations, sizeof *times, Ascending);
  const int half = iterations / 2;
  const double median = iterations % 2 ? times[half] : (times[half - 1] + times[half]) / 2;
  char wrong_text[32] = "null";
  if (check) snprintf(wrong_text, sizeof wrong_text, "%ld", all_wrong);
  printf("{\"bytes\": %ld, \"time_us\": %.3f, \"min_us\": %.3f, \"max_us\": %.3f, \"wrong\": %s}\n", count * 4, median,
         times[0], times[iterations - 1], wrong_text);
  fflush(stdout);
}

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  if (argc != 7) {
    if (rank == 0) fprintf(stderr, "usage: mpi_allreduce MIN_BYTES MAX_BYTES FACTOR ITERATIONS WARMUP CHECK\n");
    MPI_Abort(MPI_COMM_WORLD, 2);
  }
  const long min_bytes = atol(argv[1]), max_bytes = atol(argv[2]), factor = atol(argv[3]);
  const int iterations = atoi(argv[4]), warmup = atoi(argv[5]), check = atoi(argv[6]);
  float* const data = malloc((size_t)max_bytes);
  double* const times = malloc(sizeof(double) * (size_t)iterations);
  if (data == NULL || times == NULL) MPI_Abort(MPI_COMM_WORLD, 1);
  if (rank == 0) {
    char version[MPI_MAX_LIBRARY_VERSION_STRING];
    int length = 0;
    MPI_Get_library_version(version, &length);
    version[strcspn(version, ",")] = '\0';
    printf("{\"system\": \"openmpi\", \"versions\": {\"openmpi\": \"%s\"}}\n", version);
    fflush(stdout);
  }
  long salt = 0;
  for (long bytes = min_bytes; bytes <= max_bytes; bytes *= factor) {
    const long count = bytes / 4;
    long wrong = check ? Check(data, count, salt + 1) : 0;
    memset(data, 0, (size_t)count * 4);
    for (int i = 0; i < warmup; ++i) {
      MPI_Allreduce(MPI_IN_PLACE, data, (int)count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
    }
    for (int i = 0; i < iterations; ++i) {
      MPI_Barrier(MPI_COMM_WORLD);
      const double begin = MPI_Wtime();
      MPI_Allreduce(MPI_IN_PLACE, data, (int)count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
      times[i] = (MPI_Wtime() - begin) * 1e6;
    }
    if (check) wrong += Check(data, count, salt + 2);
    salt += 2;
    Report(count, times, iterations, wrong, check);
  }
  free(data);
  free(times);
  MPI_Finalize();
  return 0;
}
