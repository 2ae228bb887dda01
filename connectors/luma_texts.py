"""What patients read behind Luma's login: the practice's name and what to do, never a procedure, a diagnosis or a date.

A text is chosen by the kind of message and the patient's language; a language without texts of its own gets English.
"""

from typing import Final

LANGUAGES: Final = ("en", "es")

_CALL: Final = {
    "en": " Questions? Log in or call us at {phone}.",
    "es": " ¿Preguntas? Inicie sesión o llame al {phone}.",
}

_TEXTS: Final[dict[str, dict[str, str]]] = {
    "approved": {
        "en": "{practice}: your insurance has given its approval. Your visit can go ahead as planned.",
        "es": "{practice}: su seguro dio su aprobación. Su visita puede realizarse como está prevista.",
    },
    "not_required": {
        "en": "{practice}: your insurance does not need to approve your visit. It can go ahead as planned.",
        "es": "{practice}: su seguro no necesita aprobar su visita. Puede realizarse como está prevista.",
    },
    "delayed": {
        "en": "{practice}: your insurance has not answered us yet. We keep asking and will tell you.",
        "es": "{practice}: su seguro todavía no nos ha respondido. Seguimos preguntando y le avisaremos.",
    },
    "denied": {
        "en": "{practice}: your insurance did not give its approval. Please call us before your visit.",
        "es": "{practice}: su seguro no dio su aprobación. Por favor llámenos antes de su visita.",
    },
    "partly_approved": {
        "en": "{practice}: your insurance approved a part of what we asked for. Please call us before your visit.",
        "es": "{practice}: su seguro aprobó una parte de lo que pedimos. Por favor llámenos antes de su visita.",
    },
    "not_obtained_before_visit": {
        "en": "{practice}: your insurance has not given its approval in time. Please call us before your visit.",
        "es": "{practice}: su seguro no dio su aprobación a tiempo. Por favor llámenos antes de su visita.",
    },
    "cancelled": {
        "en": "{practice}: we have stopped asking your insurance for its approval. Please call us if this is a surprise.",
        "es": "{practice}: dejamos de pedir la aprobación a su seguro. Llámenos si esto le sorprende.",
    },
}


def text_for(message: str, language: str, *, practice: str, phone: str) -> tuple[str, str]:
    """Return the text and the language that it is in. Raises `KeyError` for a kind of message without a text."""
    chosen = language if language in LANGUAGES else "en"
    return (_TEXTS[message][chosen] + _CALL[chosen]).format(practice=practice, phone=phone), chosen
