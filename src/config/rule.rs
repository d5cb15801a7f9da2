use std::{collections::HashSet, fmt, sync::Arc};

use serde_json::{Map, Value};

/// The maximum depth of a rule. A condition has depth 1.
pub(super) const MAX_DEPTH: usize = 16;

/// The maximum number of conditions and listed values in a rule.
pub(super) const MAX_SIZE: usize = 10_000;

/// The maximum number of conditions that [`Denied`] names.
const MAX_NAMED: usize = 8;

/// The maximum length of a condition that [`Denied`] names, in characters.
const MAX_NAMED_CHARS: usize = 200;

const TOO_LARGE: &str = "the rule has too many conditions, or is nested too deeply";
const NO_CONDITION: &str = "the rule has no condition";

/// A rule that allows or denies a user by claims, email address or subject.
///
/// Require it with [`Oten::require`](crate::Oten::require) for routes, or with
/// [`Access::require`](crate::web::Access::require) in a handler. An operator can write named rules into
/// the configuration; [`Oten::rule`](crate::Oten::rule) returns them.
///
/// ```
/// use axum_oten::{Rule, User};
/// use serde_json::{Value, json};
///
/// let admins = Rule::any([
///     Rule::claim(["realm", "roles"]).contains("admin"),
///     Rule::email_domain("example.com"),
/// ]);
/// let rule = Rule::all([admins, Rule::not(Rule::subjects(["mallory"]))]);
///
/// let user = |subject: &str, claims: Value| {
///     let claims = claims.as_object().cloned().unwrap_or_default();
///     User::for_test("https://account.oten.com", subject, claims)
/// };
/// let admin = json!({"realm": {"roles": ["admin"]}});
/// assert!(rule.allows(&user("alice", admin.clone())));
/// assert!(!rule.allows(&user("mallory", admin)));
/// // The address is not verified.
/// assert!(!rule.allows(&user("bob", json!({"email": "bob@example.com"}))));
///
/// let denied = rule.check(&user("bob", json!({}))).unwrap_err();
/// assert!(denied.to_string().contains(r#"claim ["realm", "roles"] contains "admin""#));
/// ```
///
/// # Undecided conditions
///
/// A condition can hold, fail, or be undecided: the claim is missing, `null` or of another type than the
/// rule expects, or the email address is missing or not verified. A rule that is undecided denies, and so
/// does its [`not`](Self::not): a user never gets access because the provider leaves out a claim. If users
/// without the claim may pass, say so with [`Claim::is_missing`]:
///
/// ```
/// # use axum_oten::{Rule, User};
/// # use serde_json::{Map, json};
/// let not_suspended = Rule::not(Rule::claim("suspended").equals(true));
/// let user = User::for_test("https://account.oten.com", "alice", Map::new());
/// assert!(!not_suspended.allows(&user));
/// assert!(Rule::any([Rule::claim("suspended").is_missing(), not_suspended]).allows(&user));
/// ```
///
/// A rule without any condition, or one with more than 16 levels or 10,000 conditions and listed values, is
/// undecided as well. [`Denied`] says so.
///
/// Clones are cheap.
#[derive(Clone, PartialEq)]
#[must_use]
pub struct Rule {
    node: Arc<Node>,
    trusts_emails: bool,
    depth: usize,
    size: usize,
}

#[derive(Debug, PartialEq)]
enum Node {
    All(Vec<Rule>),
    Any(Vec<Rule>),
    Not(Rule),
    Claim {
        path: Vec<String>,
        test: Test,
    },
    /// Addresses in lower case.
    Emails(HashSet<String>),
    /// Domains in lower case.
    EmailDomains {
        domains: HashSet<String>,
        with_subdomains: bool,
    },
    Subjects(HashSet<String>),
    /// Never holds, for this reason.
    Unusable(&'static str),
}

#[derive(Debug, PartialEq)]
enum Test {
    Equals { value: Value, ignore_case: bool },
    Contains { value: Value, ignore_case: bool },
    Exists(bool),
}

/// Whether a condition holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Holds,
    Fails,
    /// The user's claims do not decide it, for this reason.
    Undecided(&'static str),
}

/// What is known about a user.
#[derive(Clone, Copy)]
struct Facts<'a> {
    subject: &'a str,
    claims: &'a Map<String, Value>,
    /// Whether an email address counts as verified unless the provider says that it is not.
    trusts_emails: bool,
}

impl Rule {
    /// Starts a condition on a claim: a name, or the names on the path to a claim within others.
    ///
    /// A name is never split, so it may contain dots: `Rule::claim("https://example.com/roles")`. For the
    /// subject, use [`subjects`](Self::subjects).
    pub fn claim(path: impl Into<ClaimPath>) -> Claim {
        Claim {
            path: path.into().0,
        }
    }

    /// Allows users with one of these email addresses, which must be verified: the claim `email_verified`
    /// is true. The comparison ignores the case of ASCII letters.
    ///
    /// Prefer [`subjects`](Self::subjects): an address may be given to another user.
    pub fn emails<T: AsRef<str>>(addresses: impl IntoIterator<Item = T>) -> Self {
        let addresses = lower_case(addresses);
        if !addresses.iter().all(|address| address.contains('@')) {
            return Self::unusable("an email address has no `@`");
        }
        Self::list(addresses, Node::Emails)
    }

    /// Allows users whose verified email address is of this domain: the part after the last `@`, without
    /// subdomains. The comparison ignores the case of ASCII letters.
    ///
    /// Write an internationalized domain as browsers send it, such as `xn--bcher-kva.example`.
    pub fn email_domain(domain: impl AsRef<str>) -> Self {
        Self::email_domains([domain], false)
    }

    /// Allows users whose verified email address is of this domain or of a subdomain of it.
    pub fn email_domain_with_subdomains(domain: impl AsRef<str>) -> Self {
        Self::email_domains([domain], true)
    }

    pub(super) fn email_domains<T: AsRef<str>>(
        domains: impl IntoIterator<Item = T>,
        with_subdomains: bool,
    ) -> Self {
        let domains = lower_case(domains);
        if !domains.iter().all(|domain| is_domain(domain)) {
            return Self::unusable("an email domain is not a domain such as `example.com`");
        }
        Self::list(domains, |domains| Node::EmailDomains {
            domains,
            with_subdomains,
        })
    }

    /// Allows users with one of these subjects (`sub`), which the provider never gives to another user.
    pub fn subjects<T: Into<String>>(subjects: impl IntoIterator<Item = T>) -> Self {
        let subjects = subjects.into_iter().map(Into::into).collect();
        Self::list(subjects, Node::Subjects)
    }

    /// Allows users whom all of these rules allow. An empty list denies every user.
    pub fn all(rules: impl IntoIterator<Item = Self>) -> Self {
        Self::combine(rules.into_iter().collect(), Node::All)
    }

    /// Allows users whom any of these rules allows. An empty list denies every user.
    pub fn any(rules: impl IntoIterator<Item = Self>) -> Self {
        Self::combine(rules.into_iter().collect(), Node::Any)
    }

    /// Allows users for whom a rule certainly fails. It denies users for whom the rule is
    /// [undecided](Self#undecided-conditions), for example because a claim is missing.
    // Not the operator: it takes a rule, like `all` and `any`.
    #[allow(clippy::should_implement_trait)]
    pub fn not(rule: Self) -> Self {
        Self::combine(vec![rule], |mut rules| {
            rules.pop().map_or(Node::Unusable(NO_CONDITION), Node::Not)
        })
    }

    /// Accepts email addresses without `email_verified` in this rule. By default they must be verified.
    ///
    /// **Use it only if the provider verifies every address itself**: otherwise a user can claim the
    /// address of an admin. An address with `email_verified: false` is never accepted. The setting
    /// [`trust_emails`](crate::config::ConfigBuilder::trust_emails) does this for every rule of an app.
    pub fn trust_emails(self) -> Self {
        Self {
            trusts_emails: true,
            ..self
        }
    }

    fn new(node: Node, depth: usize, size: usize) -> Self {
        if depth > MAX_DEPTH || size > MAX_SIZE {
            return Self::unusable(TOO_LARGE);
        }
        Self {
            node: Arc::new(node),
            trusts_emails: false,
            depth,
            size,
        }
    }

    fn unusable(reason: &'static str) -> Self {
        Self::new(Node::Unusable(reason), 1, 1)
    }

    fn list(values: HashSet<String>, node: impl FnOnce(HashSet<String>) -> Node) -> Self {
        let size = values.len();
        if size == 0 {
            return Self::unusable(NO_CONDITION);
        }
        Self::new(node(values), 1, size)
    }

    fn combine(rules: Vec<Self>, node: impl FnOnce(Vec<Self>) -> Node) -> Self {
        let Some(depth) = rules.iter().map(|rule| rule.depth).max() else {
            return Self::unusable(NO_CONDITION);
        };
        let size = rules
            .iter()
            .fold(1, |sum: usize, rule| sum.saturating_add(rule.size));
        Self::new(node(rules), depth + 1, size)
    }

    /// The reason for which a rule that was just created can never allow a user.
    pub(super) fn unusable_reason(&self) -> Option<&'static str> {
        match *self.node {
            Node::Unusable(reason) => Some(reason),
            _ => None,
        }
    }

    /// Checks a user by subject and claims.
    pub(crate) fn decide(&self, subject: &str, claims: &Map<String, Value>) -> Result<(), Denied> {
        let facts = Facts {
            subject,
            claims,
            trusts_emails: false,
        };
        if self.verdict(facts) == Verdict::Holds {
            return Ok(());
        }
        let mut conditions = Vec::new();
        self.explain(facts, true, &mut conditions);
        Err(Denied { conditions })
    }

    fn facts<'a>(&self, outer: Facts<'a>) -> Facts<'a> {
        Facts {
            trusts_emails: outer.trusts_emails || self.trusts_emails,
            ..outer
        }
    }

    fn verdict(&self, outer: Facts<'_>) -> Verdict {
        let facts = self.facts(outer);
        match &*self.node {
            Node::All(rules) => decided_by(Verdict::Fails, rules, facts),
            Node::Any(rules) => decided_by(Verdict::Holds, rules, facts),
            Node::Not(rule) => rule.verdict(facts).negated(),
            Node::Claim { path, test } => test.verdict(find(facts.claims, path)),
            Node::Emails(addresses) => facts.email().map_or_else(Verdict::Undecided, |email| {
                addresses.contains(&email).into()
            }),
            Node::EmailDomains {
                domains,
                with_subdomains,
            } => facts.email().map_or_else(Verdict::Undecided, |email| {
                is_of(&email, domains, *with_subdomains)
            }),
            Node::Subjects(subjects) => subjects.contains(facts.subject).into(),
            Node::Unusable(reason) => Verdict::Undecided(reason),
        }
    }

    /// Lists the conditions that are not as `wanted`.
    fn explain(&self, outer: Facts<'_>, wanted: bool, conditions: &mut Vec<String>) {
        let facts = self.facts(outer);
        let verdict = self.verdict(outer);
        if verdict == Verdict::from(wanted) || conditions.len() == MAX_NAMED {
            return;
        }
        let state = match &*self.node {
            Node::All(rules) | Node::Any(rules) => {
                for rule in rules {
                    rule.explain(facts, wanted, conditions);
                }
                return;
            }
            Node::Not(rule) => return rule.explain(facts, !wanted, conditions),
            _ => match verdict {
                Verdict::Holds => "true",
                Verdict::Fails => "false",
                Verdict::Undecided(reason) => reason,
            },
        };
        let condition: String = self
            .node
            .to_string()
            .chars()
            .take(MAX_NAMED_CHARS)
            .collect();
        conditions.push(format!("{condition}: {state}"));
    }
}

/// Prints nothing: a rule may list email addresses.
impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").finish_non_exhaustive()
    }
}

/// A condition on a claim, returned by [`Rule::claim`].
///
/// Values are texts, numbers and Booleans. Texts are compared exactly unless the method says otherwise; a
/// number is never equal to a text.
///
/// ```
/// use axum_oten::{Rule, User};
/// use serde_json::json;
///
/// let claims = json!({"workspace": "Staff", "roles": ["admin", "editor"], "level": 3, "beta": null});
/// let user = User::for_test("https://account.oten.com", "alice", claims.as_object().unwrap().clone());
/// for (rule, allowed) in [
///     (Rule::claim("workspace").equals("Staff"), true),
///     (Rule::claim("workspace").equals("staff"), false),
///     (Rule::claim("workspace").equals_ignore_ascii_case("staff"), true),
///     (Rule::claim("roles").contains("admin"), true),
///     (Rule::claim("roles").contains("adm"), false), // an element, not a part of it
///     (Rule::claim("level").equals(3), true),
///     (Rule::claim("level").equals("3"), false),
///     (Rule::claim("beta").exists(), false),
/// ] {
///     assert_eq!(rule.allows(&user), allowed);
/// }
/// ```
#[derive(Clone)]
#[must_use]
pub struct Claim {
    path: Vec<String>,
}

/// Prints nothing, like a [`Rule`].
impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").finish_non_exhaustive()
    }
}

impl Claim {
    /// Allows users whose claim is this value.
    pub fn equals(self, value: impl Into<Value>) -> Rule {
        let ignore_case = false;
        self.value(value.into(), |value| Test::Equals { value, ignore_case })
    }

    /// Allows users whose claim is this text, in any case of its ASCII letters.
    pub fn equals_ignore_ascii_case(self, text: impl Into<String>) -> Rule {
        let ignore_case = true;
        self.value(text.into().into(), |value| Test::Equals {
            value,
            ignore_case,
        })
    }

    /// Allows users whose claim is a list with this element, or the value itself, as providers write a
    /// list with one element. A part of a text does not count.
    pub fn contains(self, value: impl Into<Value>) -> Rule {
        let ignore_case = false;
        self.value(value.into(), |value| Test::Contains { value, ignore_case })
    }

    /// Like [`contains`](Self::contains), in any case of the text's ASCII letters.
    pub fn contains_ignore_ascii_case(self, text: impl Into<String>) -> Rule {
        let ignore_case = true;
        self.value(text.into().into(), |value| Test::Contains {
            value,
            ignore_case,
        })
    }

    /// Allows users who have the claim, with any value other than `null`.
    pub fn exists(self) -> Rule {
        self.rule(Test::Exists(true))
    }

    /// Allows users who do not have the claim, or have it as `null`.
    pub fn is_missing(self) -> Rule {
        self.rule(Test::Exists(false))
    }

    fn value(self, value: Value, test: impl FnOnce(Value) -> Test) -> Rule {
        match value {
            Value::String(_) | Value::Number(_) | Value::Bool(_) => self.rule(test(value)),
            _ => Rule::unusable("a claim is compared with neither a text, a number nor a Boolean"),
        }
    }

    fn rule(self, test: Test) -> Rule {
        let path = self.path;
        if path.is_empty() || path.iter().any(String::is_empty) {
            return Rule::unusable("the name of a claim is empty");
        }
        if path == ["sub"] {
            return Rule::unusable("`sub` is compared as a claim, not with `subjects`");
        }
        let size = path.len();
        Rule::new(Node::Claim { path, test }, 1, size)
    }
}

/// The names on the path to a claim, for [`Rule::claim`]: one name, or an array or a `Vec` of names.
#[derive(Clone)]
pub struct ClaimPath(Vec<String>);

/// Prints nothing, like a [`Rule`].
impl fmt::Debug for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaimPath").finish_non_exhaustive()
    }
}

impl From<&str> for ClaimPath {
    fn from(name: &str) -> Self {
        Self(vec![name.to_owned()])
    }
}

impl From<String> for ClaimPath {
    fn from(name: String) -> Self {
        Self(vec![name])
    }
}

impl<const N: usize> From<[&str; N]> for ClaimPath {
    fn from(names: [&str; N]) -> Self {
        Self(names.map(str::to_owned).into())
    }
}

impl From<Vec<String>> for ClaimPath {
    fn from(names: Vec<String>) -> Self {
        Self(names)
    }
}

/// Error returned when a [`Rule`] denies a user.
///
/// It names the conditions that decided it, at most 8, for the log. It contains texts of the rule, but no
/// claim, email address or subject of a user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the access rule denies the user: {}", self.conditions.join("; "))]
pub struct Denied {
    conditions: Vec<String>,
}

impl Denied {
    /// Returns the conditions that decided it, each with its state, such as `claim ["roles"] contains
    /// "admin": false`.
    #[must_use]
    pub fn conditions(&self) -> &[String] {
        &self.conditions
    }
}

/// A condition as [`Denied`] names it. The lists are not part of it: they may be private.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(_) | Self::Any(_) | Self::Not(_) | Self::Unusable(_) => f.write_str("rule"),
            Self::Claim { path, test } => {
                write!(f, "claim {path:?} ")?;
                match test {
                    Test::Equals { value, .. } => write!(f, "equals {value}"),
                    Test::Contains { value, .. } => write!(f, "contains {value}"),
                    Test::Exists(true) => f.write_str("exists"),
                    Test::Exists(false) => f.write_str("is missing"),
                }
            }
            Self::Emails(_) => f.write_str("email is listed"),
            Self::EmailDomains { .. } => f.write_str("email domain is listed"),
            Self::Subjects(_) => f.write_str("subject is listed"),
        }
    }
}

impl Verdict {
    fn negated(self) -> Self {
        match self {
            Self::Holds => Self::Fails,
            Self::Fails => Self::Holds,
            undecided @ Self::Undecided(_) => undecided,
        }
    }
}

impl From<bool> for Verdict {
    fn from(holds: bool) -> Self {
        if holds { Self::Holds } else { Self::Fails }
    }
}

/// Returns `decisive` if a rule has this verdict, an undecided one if no rule has it and one is undecided,
/// and the opposite otherwise.
fn decided_by(decisive: Verdict, rules: &[Rule], facts: Facts<'_>) -> Verdict {
    let mut verdict = decisive.negated();
    for rule in rules {
        match rule.verdict(facts) {
            it if it == decisive => return decisive,
            undecided @ Verdict::Undecided(_) => verdict = undecided,
            _ => {}
        }
    }
    verdict
}

impl Facts<'_> {
    /// Returns the email address in lower case if it is verified, or why there is none.
    fn email(&self) -> Result<String, &'static str> {
        let claim = |name: &str| self.claims.get(name).filter(|value| !value.is_null());
        let email = claim("email").and_then(Value::as_str);
        let email = email.ok_or("the user has no email address")?;
        let is_verified = match claim("email_verified") {
            None => self.trusts_emails,
            // Some providers send texts.
            Some(verified) => *verified == true || *verified == "true",
        };
        if !is_verified {
            return Err("the email address is not verified");
        }
        Ok(email.to_ascii_lowercase())
    }
}

fn is_of(email: &str, domains: &HashSet<String>, with_subdomains: bool) -> Verdict {
    match email.rsplit_once('@') {
        Some((local, domain)) if !local.is_empty() && is_domain(domain) => {
            let mut parents = domain.match_indices('.').map(|(dot, _)| &domain[dot + 1..]);
            let is_listed = domains.contains(domain)
                || with_subdomains && parents.any(|parent| domains.contains(parent));
            is_listed.into()
        }
        _ => Verdict::Undecided("the email address is malformed"),
    }
}

/// Whether a text in lower case is a domain in its ASCII form.
fn is_domain(text: &str) -> bool {
    text.split('.').all(|label| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    })
}

fn lower_case<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> HashSet<String> {
    let texts = texts.into_iter();
    texts
        .map(|text| text.as_ref().to_ascii_lowercase())
        .collect()
}

fn find<'a>(claims: &'a Map<String, Value>, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    let claim = rest
        .iter()
        .try_fold(claims.get(first)?, |value, name| value.get(name.as_str()))?;
    (!claim.is_null()).then_some(claim)
}

impl Test {
    fn verdict(&self, claim: Option<&Value>) -> Verdict {
        let (claim, expected, ignore_case) = match (self, claim) {
            (Self::Exists(exists), claim) => return (claim.is_some() == *exists).into(),
            (_, None) => return Verdict::Undecided("the claim is missing"),
            (Self::Contains { value, ignore_case }, Some(Value::Array(items))) => {
                let items = items.iter().map(|item| compare(item, value, *ignore_case));
                return items.fold(Verdict::Fails, |verdict, item| match (verdict, item) {
                    (Verdict::Holds, _) | (_, Verdict::Fails) => verdict,
                    (_, item) => item,
                });
            }
            (
                Self::Equals { value, ignore_case } | Self::Contains { value, ignore_case },
                Some(claim),
            ) => (claim, value, ignore_case),
        };
        compare(claim, expected, *ignore_case)
    }
}

fn compare(claim: &Value, expected: &Value, ignore_case: bool) -> Verdict {
    match (claim, expected) {
        (Value::String(claim), Value::String(expected)) if ignore_case => {
            claim.eq_ignore_ascii_case(expected).into()
        }
        // `1` and `1.0` are the same number in JSON.
        (Value::Number(claim), Value::Number(expected)) => {
            (claim == expected || claim.as_f64() == expected.as_f64()).into()
        }
        (Value::String(_), Value::String(_)) | (Value::Bool(_), Value::Bool(_)) => {
            (claim == expected).into()
        }
        _ => Verdict::Undecided("the claim has another type"),
    }
}
