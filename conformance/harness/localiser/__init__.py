"""The localiser: what results that are out of their bounds would be right for.

Pure: from an observation to sentences. Each names a variant of the documented computation whose enclosure holds
everything that the call returned, and excludes a part of what is documented.
"""
