"""Eligibility in Stedi's JSON shape on the 270/271: benefits, and AAA rejections that come inside a 200.

Source: Stedi's OpenAPI (version 2024-04-01), EB01 and AAA03 codes of the 271. Amounts are decimal strings in dollars.
"""

import re
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from sandbox.answers import Refused, json_object, note, practice_of, world_of
from sandbox.pas_check import luhn_npi
from sandbox.pas_words import dicts
from sandbox.records import Json

router = APIRouter(prefix="/stedi/2024-04-01")
DATE = re.compile(r"^\d{4}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])$")
SPECIALIST_VISIT = "98"
HEALTH_PLAN = "30"
SCENARIO_DIGITS = 3
COPAY = ("B", "Co-Payment")
DEDUCTIBLE = ("C", "Deductible")
OUT_OF_POCKET = ("G", "Out of Pocket (Stop Loss)")
Rejection = tuple[str, str, str, str, str]
REJECTIONS: dict[str, Rejection] = {
    "001": ("75", "Subscriber/Insured Not Found", "Please Correct and Resubmit", "Loop 2100C", "subscriber"),
    "002": ("42", "Unable to Respond at Current Time", "Please Resubmit Original Transaction", "Loop 2100A", "payer"),
}


@router.post("/change/medicalnetwork/eligibility/v3")
async def check(request: Request) -> Response:
    """Answer a real-time eligibility check; the member id's last three digits choose inactive, not found or AAA 42."""
    practice = practice_of(request)
    if practice is None:
        raise Refused(403, {"code": "AccessDeniedException", "message": "The API key is missing or not known."})
    body = await json_object(request, Refused(400, {"message": "The request body is not a JSON object."}))
    wrong = _problems(body)
    number = f"{world_of(request).next_number():09d}"
    if wrong:
        return JSONResponse({**_frame(body, number), "errors": wrong}, 400)
    member = str(_object(body, "subscriber")["memberId"])
    scenario = "".join(letter for letter in member if letter.isdigit())[-SCENARIO_DIGITS:]
    note(request, control_number=number, payer=str(body["tradingPartnerServiceId"]))
    if scenario in REJECTIONS:
        return JSONResponse(_rejection(body, number, REJECTIONS[scenario]))
    year = world_of(request).now(practice).year
    benefits = _inactive() if scenario == "000" else _benefits(_service_types(body))
    answer = {
        **_frame(body, number),
        "benefitsInformation": benefits,
        "errors": [],
        "planDateInformation": {"planBegin": f"{year}0101", "planEnd": f"{year}1231"},
        "planInformation": {"groupNumber": "VGL-1000", "groupDescription": "SYNTHETIC GROUP"},
        "planStatus": [
            {"status": benefits[0]["name"], "statusCode": benefits[0]["code"], "serviceTypeCodes": [HEALTH_PLAN]}
        ],
    }
    return JSONResponse(answer)


def _object(body: Json, name: str) -> Json:
    value: Any = body.get(name)
    return value if isinstance(value, dict) else {}


def _service_types(body: Json) -> list[str]:
    codes = _object(body, "encounter").get("serviceTypeCodes")
    return [str(code) for code in codes] if isinstance(codes, list) and codes else [HEALTH_PLAN]


def _frame(body: Json, number: str) -> Json:
    """What every answer carries: identifiers, and the parties as they were sent."""
    subscriber = _object(body, "subscriber")
    echoed = {
        name: subscriber[name] for name in ("memberId", "firstName", "lastName", "dateOfBirth") if name in subscriber
    }
    provider = _object(body, "provider")
    payer = str(body.get("tradingPartnerServiceId", ""))
    return {
        "controlNumber": number,
        "id": f"ec_{number}",
        "eligibilitySearchId": f"search-{number}",
        "meta": {"applicationMode": "test", "traceId": f"trace-{number}", "outboundTraceId": f"trace-{number}"},
        "payer": {"entityIdentifier": "Payer", "entityType": "Non-Person Entity", "name": payer.upper()},
        "provider": {
            "entityIdentifier": "Provider",
            "npi": provider.get("npi"),
            "providerName": provider.get("organizationName"),
        },
        "subscriber": {"entityIdentifier": "Insured or Subscriber", "entityType": "Person", **echoed},
        "tradingPartnerServiceId": payer,
    }


def _problem(code: str, description: str, location: str) -> Json:
    return {
        "code": code,
        "description": description,
        "field": "AAA",
        "followupAction": "Please Correct and Resubmit",
        "location": location,
        "possibleResolutions": "Correct the named part of the request.",
    }


def _problems(body: Json) -> list[Json]:
    """What a strict check finds wrong, as AAA errors."""
    wrong: list[Json] = []
    provider, subscriber = _object(body, "provider"), _object(body, "subscriber")
    if not body.get("tradingPartnerServiceId"):
        wrong.append(_problem("79", "Invalid Participant Identification", "Loop 2100A"))
    if not provider.get("organizationName") and not provider.get("lastName"):
        wrong.append(_problem("44", "Invalid/Missing Provider Name", "Loop 2100B"))
    if not luhn_npi(str(provider.get("npi", ""))):
        wrong.append(_problem("43", "Invalid/Missing Provider Identification", "Loop 2100B"))
    if not subscriber.get("memberId"):
        wrong.append(_problem("72", "Invalid/Missing Subscriber/Insured ID", "Loop 2100C"))
    if not subscriber.get("firstName") or not subscriber.get("lastName"):
        wrong.append(_problem("73", "Invalid/Missing Subscriber/Insured Name", "Loop 2100C"))
    dependents = dicts(body.get("dependents"))
    births = [person.get("dateOfBirth") for person in dependents or [subscriber]]
    if dependents and subscriber.get("dateOfBirth") is not None:
        births.append(subscriber["dateOfBirth"])
    if not all(DATE.match(str(birth)) for birth in births):
        wrong.append(_problem("58", "Invalid/Missing Date-of-Birth", "Loop 2100C"))
    if len(dependents) > 1:
        wrong.append(_problem("15", "Required application data missing", "Loop 2100D"))
    encounter = _object(body, "encounter")
    if "dateOfService" in encounter and not DATE.match(str(encounter["dateOfService"])):
        wrong.append(_problem("57", "Invalid/Missing Date(s) of Service", "Loop 2110C"))
    return wrong


def _rejection(body: Json, number: str, rejection: Rejection) -> Json:
    """A payer's AAA rejection inside a 200: no benefits, the error at the top and at the party."""
    code, text, follow_up, place, whose = rejection
    error = {"code": code, "description": text, "field": "AAA", "followupAction": follow_up, "location": place}
    answer = {**_frame(body, number), "errors": [error]}
    answer[whose] = {**answer[whose], "aaaErrors": [error]}
    return answer


def _inactive() -> list[Json]:
    return [{"code": "6", "name": "Inactive", "serviceTypeCodes": [HEALTH_PLAN]}]


def _amount(what: tuple[str, str], amount: str, level: str, when: tuple[str, str], types: list[str]) -> Json:
    levels = {"IND": "Individual", "FAM": "Family"}
    code, name = what
    return {
        "code": code,
        "name": name,
        "benefitAmount": amount,
        "coverageLevelCode": level,
        "coverageLevel": levels[level],
        "timeQualifierCode": when[0],
        "timeQualifier": when[1],
        "inPlanNetworkIndicatorCode": "Y",
        "inPlanNetworkIndicator": "Yes",
        "serviceTypeCodes": types,
    }


def _benefits(service_types: list[str]) -> list[Json]:
    year, remaining, visit = ("23", "Calendar Year"), ("29", "Remaining"), ("27", "Visit")
    plan = [HEALTH_PLAN]
    asked = [code for code in service_types if code != HEALTH_PLAN]
    benefits: list[Json] = [
        {"code": "1", "name": "Active Coverage", "serviceTypeCodes": plan, "planCoverage": "Synthetic Plan"}
    ]
    if asked:
        benefits.append({"code": "1", "name": "Active Coverage", "serviceTypeCodes": asked})
    benefits += [
        _amount(COPAY, "40.00", "IND", visit, [SPECIALIST_VISIT]),
        _amount(DEDUCTIBLE, "1500", "IND", year, plan),
        _amount(DEDUCTIBLE, "400", "IND", remaining, plan),
        _amount(DEDUCTIBLE, "3000", "FAM", year, plan),
        _amount(DEDUCTIBLE, "1900", "FAM", remaining, plan),
        _amount(OUT_OF_POCKET, "6000", "IND", year, plan),
        _amount(OUT_OF_POCKET, "4100", "IND", remaining, plan),
    ]
    network = {"inPlanNetworkIndicatorCode": "Y", "inPlanNetworkIndicator": "Yes"}
    level = {"coverageLevelCode": "IND", "coverageLevel": "Individual"}
    share = {"code": "A", "name": "Co-Insurance", **level, "serviceTypeCodes": plan}
    benefits.append({**share, **network, "benefitPercent": "0.20"})
    if asked:
        benefits.append(
            {**share, **network, "benefitPercent": "0.20", "serviceTypeCodes": asked, "authOrCertIndicator": "Y"}
        )
    outside = {"inPlanNetworkIndicatorCode": "N", "inPlanNetworkIndicator": "No"}
    benefits.append({**share, **outside, "benefitPercent": "0.50"})
    return benefits
