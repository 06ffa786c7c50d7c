"""Where a decoder's graph can be opened, and the copies that are opened there."""
