"""The one exception for bad input: what is wrong, where, why and the remedy. The command exits with 2."""


class InputError(Exception):
    """Bad input from outside (a file, a configuration, an argument).

    Its text is one message for a person: it names the file or field, gives the reason and the remedy.
    Defects of Intaglio itself raise other exceptions.
    """
