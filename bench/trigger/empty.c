/* empty.c - the cheapest program that has a libc, linked statically or dynamically. */
int main(void) { return 0; }
