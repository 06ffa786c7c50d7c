"""Guards in front of what strangers wrote: files, programs, signs, words on a page."""
