"""The course as a folder of pages, with the step panel running in the page itself."""
