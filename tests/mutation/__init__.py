"""Do the tests notice when the library is broken?"""
