"""Guards in front of what strangers wrote: their files, their programs, their signs."""
