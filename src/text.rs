//! The texts of the pages, in every language.

/// A language of the pages.
///
/// ```
/// use axum_oten::web::Language;
///
/// assert_eq!(Language::accepted("fr, de-CH;q=0.8, en;q=0.5"), Language::German);
/// assert_eq!(Language::accepted("fr"), Language::English);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Language {
    /// The default.
    #[default]
    English,
    /// German, with the formal form of address.
    German,
}

/// The part of `Accept-Language` that is read. Browsers send fewer than 100 bytes.
const MAX_HEADER_BYTES: usize = 512;

impl Language {
    /// Returns the language that an `Accept-Language` header prefers (RFC 9110 section 12.5.4). The first
    /// of several with the same weight wins. English if it names none of these languages.
    #[must_use]
    pub fn accepted(header: &str) -> Self {
        let header = header.get(..MAX_HEADER_BYTES).unwrap_or(header);
        let ranges = header.split(',').filter_map(|range| {
            let (tag, parameter) = range.split_once(';').unwrap_or((range, "q=1"));
            let weight = parameter.trim().strip_prefix("q=")?.parse().ok()?;
            Some((Self::of_tag(tag.trim())?, weight))
        });
        let mut accepted = (Self::English, 0_f32);
        for (language, weight) in ranges {
            if weight > accepted.1 {
                accepted = (language, weight);
            }
        }
        accepted.0
    }

    /// The primary subtag decides (RFC 5646 section 2.2.1).
    fn of_tag(tag: &str) -> Option<Self> {
        let primary = tag.split('-').next()?;
        [Self::English, Self::German]
            .into_iter()
            .find(|language| primary.eq_ignore_ascii_case(language.tag()))
    }

    /// Returns the tag of the language (RFC 5646), as in the attribute `lang` of HTML.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
        }
    }
}

/// A text of a page in every language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    english: &'static str,
    german: &'static str,
}

impl Text {
    pub(crate) const fn english(self) -> &'static str {
        self.english
    }

    pub(crate) const fn get(self, language: Language) -> &'static str {
        match language {
            Language::English => self.english,
            Language::German => self.german,
        }
    }

    /// Returns the text with values for its `{names}`.
    pub(crate) fn fill(self, language: Language, values: &[(&str, &str)]) -> String {
        let mut text = String::new();
        for part in self.get(language).split('{') {
            let Some((name, rest)) = part.split_once('}') else {
                text.push_str(part);
                continue;
            };
            let value = values.iter().find(|(known, _)| *known == name);
            text.push_str(value.map_or("", |(_, value)| value));
            text.push_str(rest);
        }
        text
    }
}

/// Defines constants: each text in English and in German.
macro_rules! texts {
    ($($name:ident { $english:literal $german:literal })*) => {
        $(pub(crate) const $name: Text = Text { english: $english, german: $german };)*
    };
}

texts! {
    // Titles.
    PLEASE_SIGN_IN { "Please sign in" "Bitte melden Sie sich an" }
    PLEASE_SIGN_IN_AGAIN { "Please sign in again" "Bitte melden Sie sich erneut an" }
    SIGN_IN_FAILED { "Sign-in failed" "Anmeldung fehlgeschlagen" }
    SIGN_IN_CANCELLED { "Sign-in cancelled" "Anmeldung abgebrochen" }
    ACCESS_EXPIRED_TOO_SOON { "Access expired too soon" "Zugriff zu früh abgelaufen" }
    NOT_ALLOWED { "Not allowed" "Kein Zugriff" }
    NOT_SET_UP { "Not set up correctly" "Nicht richtig eingerichtet" }
    PAGE_NOT_AVAILABLE { "Page not available" "Seite nicht verfügbar" }
    TRY_AGAIN_SOON { "Please try again soon" "Bitte versuchen Sie es gleich noch einmal" }
    OTEN_NOT_RESPONDING { "Oten is not responding" "Oten antwortet nicht" }
    OTEN_BUSY { "Oten is busy" "Oten ist ausgelastet" }
    CONTINUE_TO_APP { "Continue to the app?" "Weiter zur App?" }
    SIGN_OUT_QUESTION { "Sign out?" "Abmelden?" }
    SIGNED_OUT { "You are signed out" "Sie sind abgemeldet" }
    NOT_SIGNED_OUT { "Not signed out" "Nicht abgemeldet" }

    SIGN_IN_NOT_CONFIRMED { "Sign-in not confirmed" "Anmeldung nicht bestätigt" }
    ANOTHER_ACCOUNT { "Another account" "Anderes Konto" }
    YOUR_SESSIONS { "Your sessions" "Ihre Sitzungen" }
    SESSIONS_OF_ALL_USERS { "Sessions of all users" "Sitzungen aller Benutzer" }
    SESSIONS_OF_A_USER { "Sessions of a user" "Sitzungen eines Benutzers" }
    END_ALL_SESSIONS_QUESTION { "End all sessions?" "Alle Sitzungen beenden?" }
    FORM_NOT_SENT_YET { "Form not sent yet" "Formular noch nicht gesendet" }
    FORM_ALREADY_SENT { "Form already sent" "Formular bereits gesendet" }
    FORM_DISCARDED { "Form discarded" "Formular verworfen" }
    FORM_NO_LONGER_KEPT { "Form no longer kept" "Formular nicht mehr vorhanden" }
    END_THESE_SESSIONS_QUESTION { "End these sessions?" "Diese Sitzungen beenden?" }

    // Next steps.
    SIGN_IN { "Sign in" "Anmelden" }
    SIGN_IN_AGAIN { "Sign in again" "Erneut anmelden" }
    TRY_AGAIN { "Try again" "Noch einmal versuchen" }
    USE_ANOTHER_ACCOUNT { "Use another account" "Anderes Konto verwenden" }
    SIGN_OUT { "Sign out" "Abmelden" }
    CONTINUE { "Continue" "Weiter" }
    CANCEL { "Cancel" "Abbrechen" }
    SEND_AGAIN { "Send again" "Erneut senden" }
    DISCARD { "Discard" "Verwerfen" }
    RETURN_TO_APP { "Return to the app" "Zurück zur App" }
    BACK_TO_SITE { "Back to the site" "Zurück zur Website" }
    REFERENCE {
        "If you ask for help, give this reference:"
        "Wenn Sie um Hilfe bitten, geben Sie diese Kennung an:"
    }

    // Sentences.
    SIGNED_IN_AS { "You are signed in as" "Sie sind angemeldet als" }
    SITE_NOT_SET_UP {
        "This site is not set up correctly. Please contact this site's support."
        "Diese Website ist nicht richtig eingerichtet. Bitte wenden Sie sich an deren Support."
    }
    SIGN_IN_TO_CONTINUE {
        "You need to sign in to continue."
        "Melden Sie sich an, um fortzufahren."
    }
    ACCESS_EXPIRED {
        "Your access has expired. Sign in again to continue."
        "Ihr Zugriff ist abgelaufen. Melden Sie sich erneut an, um fortzufahren."
    }
    ACCESS_TOKEN_USELESS {
        "Your access expired right after you signed in. Please contact this site's support."
        "Ihr Zugriff ist gleich nach der Anmeldung abgelaufen. Bitte wenden Sie sich an den Support dieser Website."
    }
    FORBIDDEN {
        "Your account does not have access. Use another account, or contact this site's support."
        "Ihr Konto hat keinen Zugriff. Verwenden Sie ein anderes Konto, oder wenden Sie sich an den Support dieser Website."
    }
    CROSS_SITE {
        "Another site asked to sign you out, so you are still signed in. To sign out, use the button below."
        "Eine andere Website wollte Sie abmelden. Sie sind deshalb noch angemeldet. Zum Abmelden verwenden Sie die Schaltfläche unten."
    }
    FOREIGN_ORIGIN {
        "The request may come from a page of another site. Go back to the site and try again."
        "Die Anfrage kommt vielleicht von einer Seite einer anderen Website. Gehen Sie zurück zur Website und versuchen Sie es noch einmal."
    }
    CANNOT_BE_OPENED {
        "This page cannot be opened this way. Please go back to the site."
        "Diese Seite kann so nicht geöffnet werden. Bitte gehen Sie zurück zur Website."
    }
    APP_ASKS {
        "The app at {link} asks to sign you in. Continue only if you started this in the app just now."
        "Die App unter {link} möchte Sie anmelden. Fahren Sie nur fort, wenn Sie das gerade selbst in der App begonnen haben."
    }
    NATIVE_REQUEST_INVALID {
        "The app's request to sign in is invalid. Please contact the app's support."
        "Die Anmeldeanfrage der App ist ungültig. Bitte wenden Sie sich an den Support der App."
    }
    NATIVE_SIGN_IN_USED {
        "This sign-in took too long or was already completed. Go back to the app and sign in again if it asks you to."
        "Diese Anmeldung hat zu lange gedauert oder war schon abgeschlossen. Gehen Sie zurück zur App und melden Sie sich erneut an, wenn die App Sie darum bittet."
    }
    NATIVE_CODE_INVALID {
        "The code is not valid. Sign in again."
        "Der Code ist ungültig. Melden Sie sich erneut an."
    }
    CREDENTIAL_MALFORMED {
        "The header `Authorization` is malformed or given more than once."
        "Der Header `Authorization` ist fehlerhaft oder mehrfach angegeben."
    }
    API_DOWN {
        "A service that this site needs is not responding. Please try again in a moment."
        "Ein Dienst, den diese Website braucht, antwortet nicht. Bitte versuchen Sie es gleich noch einmal."
    }
    ACCESS_NOT_CHECKED {
        "This site cannot check your access right now. Please try again in a moment."
        "Diese Website kann Ihren Zugriff gerade nicht prüfen. Bitte versuchen Sie es gleich noch einmal."
    }
    STORE_DOWN {
        "This site cannot check your sign-in right now. You have not been signed out; please try again in a moment."
        "Diese Website kann Ihre Anmeldung gerade nicht prüfen. Sie wurden nicht abgemeldet; bitte versuchen Sie es gleich noch einmal."
    }
    NOT_REFRESHED {
        "Oten cannot confirm your sign-in right now. You have not been signed out; please try again in a moment, or sign in again."
        "Oten kann Ihre Anmeldung gerade nicht bestätigen. Sie wurden nicht abgemeldet; bitte versuchen Sie es gleich noch einmal, oder melden Sie sich erneut an."
    }
    ATTEMPT_OVER {
        "Your sign-in took too long or was already completed. Please sign in again."
        "Ihre Anmeldung hat zu lange gedauert oder war schon abgeschlossen. Bitte melden Sie sich erneut an."
    }
    COOKIES_BLOCKED {
        "Your browser blocks cookies for this site. Allow cookies and sign in again."
        "Ihr Browser blockiert Cookies dieser Website. Erlauben Sie Cookies und melden Sie sich erneut an."
    }
    CONFLICTING_COOKIE {
        "Another site has set a conflicting cookie. Delete this site's cookies in your browser and sign in again."
        "Eine andere Website hat ein Cookie mit demselben Namen gesetzt. Löschen Sie die Cookies dieser Website in Ihrem Browser und melden Sie sich erneut an."
    }
    SIGNED_OUT_MEANWHILE {
        "You were signed out while you were signing in. Sign in again to continue."
        "Sie wurden abgemeldet, während Sie sich angemeldet haben. Melden Sie sich erneut an, um fortzufahren."
    }
    OTEN_TOO_SLOW {
        "Oten took too long to respond, so you have not been signed in. Please try again."
        "Oten hat zu lange nicht geantwortet. Sie sind deshalb nicht angemeldet. Bitte versuchen Sie es noch einmal."
    }
    OTEN_DOWN {
        "Signing in does not work right now. Please try again in a moment."
        "Die Anmeldung funktioniert gerade nicht. Bitte versuchen Sie es gleich noch einmal."
    }
    OTEN_UNREACHABLE {
        "Oten could not be reached to complete the sign-in. Please try again in a moment."
        "Oten war nicht erreichbar, um die Anmeldung abzuschließen. Bitte versuchen Sie es gleich noch einmal."
    }
    OTEN_ACCEPTS_NO_MORE {
        "Oten accepts no more sign-ins from this site right now. Please try again in a moment."
        "Oten nimmt gerade keine weiteren Anmeldungen dieser Website an. Bitte versuchen Sie es gleich noch einmal."
    }
    LOGIN_REQUEST_INVALID {
        "The request to sign in is invalid. Please sign in from this site."
        "Die Aufforderung zur Anmeldung ist ungültig. Bitte melden Sie sich auf dieser Website an."
    }
    NOT_FROM_OTEN {
        "The response did not come from Oten, so you have not been signed in. Please try again."
        "Die Antwort kam nicht von Oten. Sie sind deshalb nicht angemeldet. Bitte versuchen Sie es noch einmal."
    }
    RESPONSE_INCOMPLETE {
        "Oten's response was incomplete or invalid. Please try again."
        "Die Antwort von Oten war unvollständig oder ungültig. Bitte versuchen Sie es noch einmal."
    }
    RESPONSE_UNTRUSTED {
        "Oten's response could not be trusted, so you have not been signed in. Please try again."
        "Der Antwort von Oten ist nicht zu trauen. Sie sind deshalb nicht angemeldet. Bitte versuchen Sie es noch einmal."
    }
    LOGOUT_REQUEST_MALFORMED { "The logout request is malformed." "Die Abmeldeanfrage ist fehlerhaft." }
    LOGOUT_TOKEN_REJECTED { "The logout token is rejected." "Das Abmelde-Token wird abgelehnt." }
    LOGOUT_TOO_SLOW {
        "The logout could not be completed in time."
        "Die Abmeldung wurde nicht rechtzeitig abgeschlossen."
    }
    ARE_SIGNED_IN { "You are signed in to this site." "Sie sind auf dieser Website angemeldet." }
    SIGNED_OUT_AT_PROVIDER {
        "You are signed out of this site. The site also asked Oten to sign you out there."
        "Sie sind auf dieser Website abgemeldet. Die Website hat Oten gebeten, Sie auch dort abzumelden."
    }
    NOT_SIGNED_IN_HERE {
        "You are not signed in to this site in this browser."
        "Sie sind in diesem Browser auf dieser Website nicht angemeldet."
    }

    LOGIN_TOO_OLD {
        "This page is only open shortly after you sign in, so nothing has been changed. Sign in again to continue."
        "Diese Seite ist nur kurz nach der Anmeldung zugänglich, deshalb wurde nichts geändert. Melden Sie sich erneut an, um fortzufahren."
    }
    LOGIN_NOT_FRESH {
        "Oten did not confirm that you have just signed in again, which this page requires. You are still signed in. Please try again, or contact this site's support."
        "Oten hat nicht bestätigt, dass Sie sich gerade erneut angemeldet haben. Diese Seite verlangt das. Sie sind noch angemeldet. Bitte versuchen Sie es noch einmal, oder wenden Sie sich an den Support dieser Website."
    }
    OTHER_USER {
        "You signed in with another account than before. What you were doing with the first account has not been done."
        "Sie haben sich mit einem anderen Konto angemeldet als zuvor. Was Sie mit dem ersten Konto begonnen haben, wurde nicht ausgeführt."
    }

    // Forms that a sign-in interrupts.
    FORM_IS_KEPT {
        "The form that you sent is kept for 30 minutes, and you can send it again after you have signed in."
        "Das gesendete Formular wird 30 Minuten aufbewahrt, und Sie können es nach der Anmeldung erneut senden."
    }
    FORM_IS_NOT_KEPT {
        "The form that you sent is not kept; you need to fill it in again."
        "Das gesendete Formular wird nicht aufbewahrt; Sie müssen es erneut ausfüllen."
    }
    CHECK_FORM {
        "You sent this form before you signed in, and nothing has been done yet. Check it, then send it again or discard it."
        "Sie haben dieses Formular vor der Anmeldung gesendet, und es wurde noch nichts ausgeführt. Prüfen Sie es, und senden Sie es dann erneut oder verwerfen Sie es."
    }
    FORM_WAS_SENT {
        "You have already sent this form, so it is not sent a second time. To repeat it, go back to the site and fill it in again."
        "Sie haben dieses Formular bereits gesendet. Es wird deshalb kein zweites Mal gesendet. Um es zu wiederholen, gehen Sie zurück zur Website und füllen es erneut aus."
    }
    FORM_WAS_DISCARDED {
        "You have discarded this form. It has not been sent again."
        "Sie haben dieses Formular verworfen. Es wurde nicht erneut gesendet."
    }
    FORM_IS_UNKNOWN {
        "A form is kept for 30 minutes, and only in the browser in which you filled it in. Go back to the site and fill it in again if you still need to send it."
        "Ein Formular wird 30 Minuten aufbewahrt, und nur in dem Browser, in dem Sie es ausgefüllt haben. Gehen Sie zurück zur Website und füllen Sie es erneut aus, wenn Sie es noch senden müssen."
    }
    SENT_TO { "Sent to" "Gesendet an" }
    HIDDEN { "hidden" "verborgen" }
    NO_FIELDS { "This form has no fields." "Dieses Formular hat keine Felder." }
    MORE_FIELDS { "Fields that are not shown: {count}" "Nicht angezeigte Felder: {count}" }

    // Lists of sessions.
    YOUR_SESSIONS_TEXT {
        "You are signed in to this site in these browsers."
        "In diesen Browsern sind Sie auf dieser Website angemeldet."
    }
    SESSIONS_TEXT {
        "If you end a session, its user is signed out in that browser."
        "Wenn Sie eine Sitzung beenden, wird ihr Benutzer in diesem Browser abgemeldet."
    }
    END_ALL_SESSIONS_TEXT {
        "This signs out every user of this site, and you as well. They can sign in again."
        "Damit werden alle Benutzer dieser Website abgemeldet, auch Sie. Sie alle können sich wieder anmelden."
    }
    END_THESE_SESSIONS_TEXT {
        "This signs the user out in every browser. The user can sign in again."
        "Damit wird der Benutzer in allen Browsern abgemeldet. Er kann sich wieder anmelden."
    }
    END_OTHER_SESSIONS { "End all other sessions" "Alle anderen Sitzungen beenden" }
    END_ALL_SESSIONS { "End all sessions" "Alle Sitzungen beenden" }
    END_SESSIONS_OF_USER { "End all sessions of this user" "Alle Sitzungen dieses Benutzers beenden" }
    END_SESSIONS { "End sessions" "Sitzungen beenden" }
    END_SESSION { "End session" "Sitzung beenden" }
    END_SESSION_LABEL {
        "End session: {device}, signed in {time}"
        "Sitzung beenden: {device}, angemeldet {time}"
    }
    SUBJECT_OF_USER { "Subject of a user" "Kennung eines Benutzers" }
    SEARCH { "Search" "Suchen" }
    NO_SESSIONS { "There are no sessions here." "Hier gibt es keine Sitzungen." }
    THIS_DEVICE { "This device" "Dieses Gerät" }
    UNKNOWN_BROWSER { "Unknown browser" "Unbekannter Browser" }
    USER { "User" "Benutzer" }
    SIGNED_IN_AT { "Signed in" "Angemeldet" }
    LAST_USED { "Last used" "Zuletzt verwendet" }
    ADDRESS { "Address" "Adresse" }
    NEXT_PAGE { "Next page" "Nächste Seite" }
    ALL_USERS { "All users" "Alle Benutzer" }

    // Error codes of the provider.
    CODE_MISCONFIGURED {
        "Sign-in is not set up correctly on this site. Please contact this site's support."
        "Die Anmeldung ist auf dieser Website nicht richtig eingerichtet. Bitte wenden Sie sich an deren Support."
    }
    CODE_INVALID_CLIENT {
        "Sign-in is not set up correctly on this site: Oten does not accept its secret or its address. Please contact this site's support."
        "Die Anmeldung ist auf dieser Website nicht richtig eingerichtet: Oten akzeptiert ihr Geheimnis oder ihre Adresse nicht. Bitte wenden Sie sich an den Support dieser Website."
    }
    CODE_TRANSIENT {
        "Oten cannot sign you in right now. Please try again in a moment."
        "Oten kann Sie gerade nicht anmelden. Bitte versuchen Sie es gleich noch einmal."
    }
    CODE_INVALID_GRANT {
        "This sign-in has expired or was already completed. Please sign in again."
        "Diese Anmeldung ist abgelaufen oder war schon abgeschlossen. Bitte melden Sie sich erneut an."
    }
    CODE_ACCESS_DENIED {
        "You cancelled the sign-in, or this account may not use this site."
        "Sie haben die Anmeldung abgebrochen, oder dieses Konto darf diese Website nicht verwenden."
    }
    CODE_LOGIN_REQUIRED {
        "You are not signed in at Oten. Sign in there, then try again."
        "Sie sind bei Oten nicht angemeldet. Melden Sie sich dort an und versuchen Sie es dann noch einmal."
    }
    CODE_CONSENT_REQUIRED {
        "Oten needs your consent. Open Oten, then try again."
        "Oten braucht Ihre Zustimmung. Öffnen Sie Oten und versuchen Sie es dann noch einmal."
    }
    CODE_INTERACTION_REQUIRED {
        "Oten needs more information from you. Open Oten, then try again."
        "Oten braucht weitere Angaben von Ihnen. Öffnen Sie Oten und versuchen Sie es dann noch einmal."
    }
    CODE_ACCOUNT_SELECTION_REQUIRED {
        "Oten needs to know which account to use. Open Oten, then try again."
        "Oten muss wissen, welches Konto verwendet werden soll. Öffnen Sie Oten und versuchen Sie es dann noch einmal."
    }
    CODE_OTHER {
        "Oten could not sign you in. Please try again."
        "Oten konnte Sie nicht anmelden. Bitte versuchen Sie es noch einmal."
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_not_searched_for_names() {
        let values = [("device", "{time}"), ("time", "{device}")];
        let text = END_SESSION_LABEL.fill(Language::German, &values);
        assert_eq!(text, "Sitzung beenden: {time}, angemeldet {device}");
    }

    #[test]
    fn x5_the_accepted_language_with_the_highest_weight_wins() {
        for (header, language) in [
            ("", Language::English),
            ("*", Language::English),
            ("de", Language::German),
            ("DE-at", Language::German),
            ("den", Language::English),
            ("en-GB,de;q=0.9", Language::English),
            ("en;q=0.3, de;q=0.9", Language::German),
            ("de,en", Language::German),
            ("de;q=0", Language::English),
            ("de;q=NaN", Language::English),
            ("de;q=x,en", Language::English),
            ("fr,it;q=0.9,de;q=0.1", Language::German),
            (",;,=;q=1", Language::English),
        ] {
            assert_eq!(Language::accepted(header), language, "{header}");
        }
        assert_eq!(
            Language::accepted(&"fr,".repeat(1_000_000)),
            Language::English
        );
    }
}
