"""The doors: HTTP in and out.

Owns: the application, authentication of requests, decoding and validation of bodies, error answers, OpenAPI documents.
Does not own: any rule of the business. A dialect (togai, native) translates and never imports another.
"""

OWNS: tuple[str, ...] = ()
