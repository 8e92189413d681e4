/* Gives each thread of Orthanc at least 1 MiB of stack; preloaded by orthanc.service.
 *
 * civetweb asks for 100 KiB, and gdcm::ImageWriter::Write takes 129 KiB: without this the picture of a colour JPEG 2000
 * image ends the whole server. Declares by itself what it needs, because hosts have no C headers. patchelf says for tcc
 * that no stack need be executable.
 */
#define AT_LEAST (1024UL * 1024UL)
#define NEXT ((void *) -1L)

extern void *dlsym(void *handle, const char *name);

int pthread_attr_setstacksize(void *attributes, unsigned long size)
{
    int (*next)(void *, unsigned long) = dlsym(NEXT, "pthread_attr_setstacksize");
    return next(attributes, size < AT_LEAST ? AT_LEAST : size);
}
