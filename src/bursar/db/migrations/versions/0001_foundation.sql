-- The foundation. Internal keys are bigint and never leave the server; every tenant table carries `workspace`.
-- Text that orders a list is COLLATE "C". No statement here or elsewhere asks the database for the time.

create function append_only() returns trigger language plpgsql as $$
begin
    raise exception 'rows of % are never changed or removed', tg_table_name using errcode = 'insufficient_privilege';
end $$;

-- db ---------------------------------------------------------------------------------------------------------------

create table audit (
    key bigint generated always as identity primary key,
    workspace int not null,
    recorded_at timestamptz not null,
    actor text not null,
    action text not null,
    kind text not null,
    object text not null,
    detail jsonb not null
);
create index audit_object on audit (workspace, kind, object);
create index audit_newest on audit (workspace, key);
create trigger audit_append_only before update or delete or truncate on audit
    for each statement execute function append_only();

-- The chain over committed audit rows. A row that commits late gets a later number: the order is that of sealing.
create table audit_seal (
    workspace int not null,
    number bigint not null,
    audit_key bigint not null unique,
    hash bytea not null,
    primary key (workspace, number)
);
create trigger audit_seal_append_only before update or delete or truncate on audit_seal
    for each statement execute function append_only();

create table audit_head (
    workspace int primary key,
    number bigint not null,
    hash bytea not null
);
comment on table audit_head is 'the last link of each chain, which tells when links are cut off its end';

-- One row: the sealer's turn, and how far it need not look again.
create table audit_sealer (
    one boolean primary key default true check (one),
    floor_key bigint not null,
    next_floor_key bigint not null,
    next_floor_at xid8 not null
);
comment on column audit_sealer.floor_key is 'every row up to here is sealed or was rolled back';
comment on column audit_sealer.next_floor_at is
    'once every transaction before this one has ended, next_floor_key holds of floor_key';
insert into audit_sealer (floor_key, next_floor_key, next_floor_at) values (0, 0, '0');

-- A request that was answered under an idempotency key. The answer is sealed under that key.
create table idempotency (
    workspace int not null,
    operation text collate "C" not null,
    account text collate "C" not null,
    key_hash bytea not null,
    request bytea not null,
    recorded_at timestamptz not null,
    status int,
    media_type text,
    answer bytea,
    primary key (workspace, operation, account, key_hash)
);
create index idempotency_age on idempotency (recorded_at);

-- accounts ---------------------------------------------------------------------------------------------------------

create table server_secret (
    name text primary key,
    secret bytea not null
);

create table workspace (
    key int generated always as identity primary key,
    name text collate "C" not null unique,
    sandbox boolean not null,
    currency text not null,
    timezone text not null,
    net_term_days int not null check (net_term_days >= 0),
    grace_days int not null check (grace_days >= 0),
    seller jsonb not null,
    clock_at timestamptz,
    version bigint not null default 0,
    created_at timestamptz not null,
    check (clock_at is null or sandbox)
);
comment on column workspace.clock_at is 'where a sandbox''s clock stands; null: wall time';
comment on column workspace.version is 'raised under the workspace''s gate by every change that admission must see';

create function bursar_create_sequence(name text) returns void language plpgsql as $$
begin
    execute format('create sequence %I', name);
end $$;

create table currency (
    workspace int not null references workspace,
    code text collate "C" not null,
    exponent int not null check (exponent between 0 and 6),
    yeti_id bigint,
    rate numeric(38, 12) check (rate > 0),
    rate_provider smallint check (rate_provider between 1 and 3),
    primary key (workspace, code),
    unique (workspace, yeti_id),
    check ((yeti_id is null) = (rate is null))
);
comment on column currency.yeti_id is 'its number where a carrier works with it, 0 for the workspace''s own; null: only known';
comment on column currency.rate is 'what a unit of it is worth in the workspace''s own currency';

create table token (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    name text not null,
    prefix text collate "C" not null,
    hash bytea not null unique,
    scopes text[] not null,
    created_at timestamptz not null,
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz,
    rate_limit int check (rate_limit >= 0)
);
comment on column token.rate_limit is 'requests per minute; 0: no limit; null: the server''s default';
create index token_workspace on token (workspace, key);

create table change_log (
    workspace int not null references workspace,
    version bigint not null,
    kind text not null check (kind in ('catalog', 'account', 'name', 'setting', 'clock')),
    object bigint,
    name text collate "C",
    primary key (workspace, version)
);

create table customer (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    togai_id text collate "C" not null,
    yeti_id bigint not null,
    wire_id text collate "C" not null,
    status text not null check (status in ('ACTIVE', 'ARCHIVED')),
    enabled boolean not null default true,
    vendor boolean not null default false,
    buyer boolean not null default true,
    external_id bigint,
    smtp_connection bigint,
    hidden_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    unique (workspace, togai_id),
    unique (workspace, yeti_id),
    unique (wire_id),
    constraint customer_recent unique (workspace, key)
);
create unique index customer_external on customer (workspace, external_id) where hidden_at is null;
comment on column customer.wire_id is 'unique on the server: tokens for its portal name it before a workspace is known';
comment on column customer.enabled is 'this and the next four are what a carrier says of a contractor; calls of one that is not enabled are dropped';
comment on column customer.hidden_at is 'when a carrier deleted it: gone at its door from then on, archived at the other';

create table customer_profile (
    customer bigint primary key references customer,
    workspace int not null references workspace,
    name text not null,
    primary_email text not null,
    address jsonb not null,
    description text,
    phones text,
    secret bytea
);
create index customer_profile_name on customer_profile (workspace, name);
comment on column customer_profile.secret is 'what frozen documents hold of the customer is sealed under it; null: erased';

create table account (
    key bigint generated always as identity primary key,
    workspace int not null,
    customer bigint not null,
    togai_id text collate "C" not null,
    yeti_id bigint not null,
    wire_id text collate "C" not null,
    currency text not null,
    has_money boolean not null default false,
    timezone text,
    net_term_days int check (net_term_days >= 0),
    status text not null check (status in ('ACTIVE', 'DRAFT', 'ARCHIVED')),
    metadata jsonb not null,
    tags text[] not null,
    closed_from timestamptz,
    closed_until timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    unique (workspace, togai_id),
    unique (workspace, yeti_id),
    unique (workspace, wire_id),
    constraint account_recent unique (workspace, key),
    foreign key (workspace, customer) references customer (workspace, key)
);
create index account_customer on account (customer);
comment on column account.has_money is 'whether its wallet was opened, in its currency, which is fixed since then';
comment on column account.closed_until is 'usage in [closed_from, closed_until) is invoiced: no event may enter it';

create table account_profile (
    account bigint primary key,
    workspace int not null,
    name text not null,
    primary_email text,
    address jsonb,
    billing_information jsonb,
    foreign key (workspace, account) references account (workspace, key)
);

create index account_profile_name on account_profile (workspace, name);

-- What a carrier agrees with an account: limits of its balance, capacities, whom to tell. Every account has the row.
create table account_terms (
    account bigint primary key,
    workspace int not null,
    uuid uuid not null unique default gen_random_uuid(),
    external_id bigint,
    min_balance numeric(38, 12) not null default 0,
    max_balance numeric(38, 12) not null default 0,
    vat numeric(38, 12) not null default 0 check (vat between 0 and 100),
    balance_low_threshold numeric(38, 12),
    balance_high_threshold numeric(38, 12),
    send_balance_notifications_to bigint[],
    destination_rate_limit numeric(38, 12) check (destination_rate_limit >= 0),
    max_call_duration int check (max_call_duration > 0),
    origination_capacity smallint check (origination_capacity > 0),
    termination_capacity smallint check (termination_capacity > 0),
    total_capacity smallint check (total_capacity > 0),
    send_invoices_to bigint[],
    invoice_period smallint check (invoice_period between 1 and 7),
    next_invoice_at timestamptz,
    next_invoice_type smallint,
    stated_until timestamptz,
    invoice_template bigint,
    hidden_at timestamptz,
    check (balance_low_threshold < balance_high_threshold),
    check ((invoice_period is null) = (next_invoice_at is null)),
    check ((invoice_period is null) = (next_invoice_type is null)),
    foreign key (workspace, account) references account (workspace, key)
);
create unique index account_terms_external on account_terms (workspace, external_id) where hidden_at is null;
create index account_terms_invoice on account_terms (workspace, next_invoice_at) where next_invoice_at is not null;
comment on column account_terms.stated_until is 'statements up to here are filled: what is charged from then on is dated no earlier';
comment on column account_terms.send_invoices_to is 'numbers of contacts as the carrier''s door shows them; they need not exist';
comment on column account_terms.hidden_at is 'when a carrier deleted it: gone at its door from then on, archived at the other';

-- How many accounts a carrier sees: the sum of the parts, so that a list of all need not count them. Each connection has its
-- own part, as far as there are enough: transactions at the same time do not wait for each other.
create table account_count (
    workspace int not null references workspace,
    part smallint not null,
    accounts bigint not null,
    primary key (workspace, part)
) with (fillfactor = 50);

create function accounts_made() returns trigger language plpgsql as $$
begin
    insert into account_count (workspace, part, accounts)
    select workspace, pg_backend_pid() % 64, count(*) from made where hidden_at is null group by workspace order by workspace
    on conflict (workspace, part) do update set accounts = account_count.accounts + excluded.accounts;
    return null;
end $$;
create trigger accounts_made after insert on account_terms
    referencing new table as made for each statement execute function accounts_made();

create function account_seen() returns trigger language plpgsql as $$
declare
    row account_terms := coalesce(new, old);
begin
    insert into account_count (workspace, part, accounts)
    values (row.workspace, pg_backend_pid() % 64, case when tg_op = 'UPDATE' and new.hidden_at is null then 1 else -1 end)
    on conflict (workspace, part) do update set accounts = account_count.accounts + excluded.accounts;
    return null;
end $$;
create trigger account_hidden after update of hidden_at on account_terms for each row
    when ((old.hidden_at is null) <> (new.hidden_at is null)) execute function account_seen();
create trigger account_gone after delete on account_terms for each row
    when (old.hidden_at is null) execute function account_seen();

-- Ids and aliases of accounts share one namespace: what an event may call its account, and from when until when.
create extension if not exists btree_gist;
create table account_name (
    key bigint generated always as identity primary key,
    workspace int not null,
    value text collate "C" not null,
    account bigint not null,
    kind text not null check (kind in ('ID', 'ALIAS')),
    wire_id text collate "C" not null,
    effective tstzrange not null check (not isempty(effective)),
    created_at timestamptz not null,
    updated_at timestamptz not null,
    unique (workspace, wire_id),
    foreign key (workspace, account) references account (workspace, key)
);
create index account_name_value on account_name (workspace, value);
create index account_name_account on account_name (account, key) where kind = 'ALIAS';

-- At no time does a value lead to two accounts. A constraint that excludes that takes ten times as long for each new account as
-- this, which looks at all rows of a statement. Who names a value keeps it from others until the transaction ends; what is asked
-- for after that is as they left it, because each statement of a function sees what was committed before it.
create function name_leads_to_one() returns trigger language plpgsql
    -- As the owner, whom no policy binds, and by index: as `posting_balances`.
    security definer set search_path from current set enable_seqscan = off as $$
declare
    taken text;
begin
    perform pg_advisory_xact_lock(7215005, place)
    from (select distinct hashtext(workspace || ' ' || value) as place from named order by 1) p;
    select n.value into taken from named n where exists (select from account_name o where o.workspace = n.workspace
        and o.value = n.value and o.account <> n.account and o.effective && n.effective offset 0) limit 1;
    if found then
        raise exception 'the name % leads to another account at that time', taken using errcode = 'exclusion_violation';
    end if;
    return null;
end $$;
create trigger account_name_one_account after insert on account_name
    referencing new table as named for each statement execute function name_leads_to_one();

create function name_is_kept() returns trigger language plpgsql as $$
begin
    raise exception 'a name may be cut short and nothing else' using errcode = 'restrict_violation';
end $$;
create trigger account_name_cut_short before update on account_name for each row
    when (old.workspace <> new.workspace or old.value <> new.value or old.account <> new.account
        or not old.effective @> new.effective)
    execute function name_is_kept();

-- Alias values known to the workspace, attached to an account or not yet.
create table alias (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    value text collate "C" not null,
    created_at timestamptz not null,
    unique (workspace, value)
);

-- How an account's billing periods run, for admission: written by purchases through the accounts service.
create table account_calendar (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    account bigint not null references account,
    starts_at timestamptz not null,
    ends_at timestamptz not null,
    calendar jsonb not null,
    grace_days int not null check (grace_days >= 0),
    check (starts_at < ends_at)
);
create index account_calendar_account on account_calendar (account, starts_at);

create table contact (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    customer bigint not null references customer,
    yeti_id bigint not null,
    username text collate "C" not null,
    preferred_username text collate "C",
    name text not null,
    email text not null,
    phone text,
    notes text,
    password_hash text,
    login_access boolean not null,
    verified boolean not null,
    created_by text not null,
    created_at timestamptz not null,
    unique (workspace, username),
    unique (workspace, yeti_id),
    unique (preferred_username)
);
create index contact_customer on contact (customer);

create table setting (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    namespace text collate "C" not null,
    setting_id text collate "C" not null,
    entity_type text collate "C" not null,
    entity_id text collate "C" not null,
    name text not null,
    value text not null,
    data_type text not null check (data_type in ('STRING', 'NUMERIC', 'JSON', 'JSON_LOGIC')),
    unique (workspace, namespace, setting_id, entity_type, entity_id)
);
create index setting_entity on setting (workspace, entity_type, entity_id);

-- Every value that a setting has had, so that what was computed from it can be computed again.
create table setting_version (
    setting bigint not null references setting,
    workspace int not null references workspace,
    catalog_version bigint not null,
    value text not null,
    data_type text not null,
    recorded_at timestamptz not null,
    primary key (setting, catalog_version)
);
comment on column setting_version.catalog_version is 'the version of the workspace''s rules from which on the value holds';

-- Files that services made for a workspace, to be fetched by a signed link. Their ids are unique on the server: a link is
-- opened before a workspace is known.
create table stored_file (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    wire_id text collate "C" not null unique,
    name text not null,
    media_type text not null,
    size int not null check (size = octet_length(content)),
    content bytea not null,
    created_at timestamptz not null
);
alter table stored_file alter column content set storage external;
create index stored_file_workspace on stored_file (workspace) include (size);

-- Who may log in at the carrier's door. A JWT names its user by `subject`, drawn by chance and anew with each password.
create table admin_user (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    username text collate "C" not null unique,
    subject bigint not null unique,
    password_hash text not null,
    enabled boolean not null default true,
    allowed_ips inet[],
    created_at timestamptz not null,
    updated_at timestamptz not null
);
create index admin_user_workspace on admin_user (workspace);
comment on column admin_user.username is 'unique on the server: it is looked up before a workspace is known';
comment on column admin_user.allowed_ips is 'networks from which the user is served; null: from everywhere';

-- Who may log in at the door of a carrier's customers.
create table api_access (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    customer bigint not null references customer,
    yeti_id bigint not null,
    subject bigint not null unique,
    login text collate "C" not null unique,
    password_hash text not null,
    account_ids bigint[] not null,
    allowed_ips inet[] not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    unique (workspace, yeti_id)
);
create index api_access_customer on api_access (customer);
comment on column api_access.account_ids is 'numbers of the accounts that it shows; none: all of the customer';

-- notify -----------------------------------------------------------------------------------------------------------

create table smtp_connection (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    yeti_id bigint not null,
    name text collate "C" not null,
    host text not null,
    port int not null check (port between 1 and 65535),
    from_address text not null,
    auth_user text,
    auth_password text,
    global boolean not null,
    created_at timestamptz not null,
    unique (workspace, yeti_id),
    unique (workspace, name)
);
comment on column smtp_connection.global is 'sends for every customer that has no connection of its own';
alter table customer add constraint customer_smtp_connection
    foreign key (workspace, smtp_connection) references smtp_connection (workspace, yeti_id);
create index customer_sender on customer (workspace, smtp_connection) where smtp_connection is not null;
comment on column customer.smtp_connection is 'the number of the one over which its contacts are written to; null: of one for everybody';

-- Whom to tell of what happens: one address for requests, and any contacts by e-mail.
create table event_subscription (
    workspace int not null references workspace,
    event text collate "C" not null,
    url text,
    contacts bigint[] not null,
    updated_at timestamptz not null,
    primary key (workspace, event)
);
comment on column event_subscription.contacts is 'numbers of contacts as the carrier''s door shows them; they need not exist';

-- What is to be told, written in the transaction in which it happened; gone once its deliveries are made.
create table outbox (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    topic text not null,
    payload jsonb not null,
    created_at timestamptz not null,
    attempts int not null default 0,
    due_at timestamptz not null
);
create index outbox_due on outbox (due_at, key);

-- One message to one receiver, until it is there or given up.
create table delivery (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    wire_id text collate "C" not null,
    event bigint not null,
    channel text not null check (channel in ('HTTP', 'MAIL')),
    receiver text collate "C" not null,
    customers bigint[] not null,
    sender bigint,
    subject text not null,
    body text not null,
    status text not null check (status in ('PENDING', 'DELIVERED', 'GIVEN_UP', 'ERASED')),
    attempts int not null default 0,
    due_at timestamptz,
    leased_until timestamptz,
    reason text,
    created_at timestamptz not null,
    settled_at timestamptz,
    unique (workspace, wire_id),
    unique (workspace, event, channel, receiver),
    check ((status = 'PENDING') = (due_at is not null)),
    check ((status = 'PENDING') = (settled_at is null))
);
create index delivery_due on delivery (due_at) where status = 'PENDING';
create index delivery_recent on delivery (workspace, status, key);
create index delivery_settled on delivery (settled_at) where settled_at is not null;
comment on column delivery.event is 'the key of the entry of the outbox that it was made from';
comment on column delivery.customers is 'whose data it holds, to be erased with any of them';
comment on column delivery.leased_until is 'until then a worker is at it, unless it has died';

-- jobs -------------------------------------------------------------------------------------------------------------

create table job (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    wire_id text collate "C" not null,
    kind text not null check (kind in ('PRICE_PLAN', 'BILL_RUN', 'EVENT_CORRECTIONS')),
    status text not null check (status in ('PENDING', 'WAITING_FOR_CONFIRMATION', 'IN_PROGRESS', 'COMPLETED', 'FAILED',
        'CANCELLED')),
    parameters jsonb not null,
    moment timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    settled_at timestamptz,
    unique (workspace, wire_id),
    check (moment is not null or status in ('WAITING_FOR_CONFIRMATION', 'CANCELLED'))
);
create index job_recent on job (workspace, key);
create index job_open on job (key) where status in ('PENDING', 'IN_PROGRESS');
comment on column job.moment is 'the business time at which it was asked for or confirmed: all of it happens as of then';

create table job_entry (
    job bigint not null references job,
    number int not null,
    workspace int not null references workspace,
    entity text collate "C" not null,
    status text not null check (status in ('PENDING', 'COMPLETED', 'FAILED', 'CANCELLED')),
    reason text,
    created_at timestamptz not null,
    settled_at timestamptz,
    primary key (job, number),
    unique (job, entity),
    check ((settled_at is null) = (status = 'PENDING'))
);
create index job_entry_pending on job_entry (job, number) where status = 'PENDING';

-- catalog ----------------------------------------------------------------------------------------------------------

create table event_schema (
    key int generated always as identity primary key,
    workspace int not null references workspace,
    name text collate "C" not null,
    status text not null check (status in ('DRAFT', 'ACTIVE', 'INACTIVE', 'ARCHIVED')),
    created_at timestamptz not null,
    updated_at timestamptz not null,
    unique (workspace, name)
);

create table event_schema_version (
    key int generated always as identity primary key,
    workspace int not null references workspace,
    event_schema int not null references event_schema,
    version int not null check (version >= 1),
    definition jsonb not null,
    catalog_version bigint not null,
    created_at timestamptz not null,
    unique (event_schema, version)
);

create table usage_meter (
    key int generated always as identity primary key,
    workspace int not null references workspace,
    wire_id text collate "C" not null,
    name text collate "C" not null,
    event_schema int not null references event_schema,
    status text not null check (status in ('DRAFT', 'ACTIVE', 'INACTIVE', 'ARCHIVED')),
    last_activated_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    unique (workspace, wire_id)
);
create unique index usage_meter_name on usage_meter (workspace, name) where status <> 'ARCHIVED';
create index usage_meter_schema on usage_meter (event_schema);

create table usage_meter_version (
    key int generated always as identity primary key,
    workspace int not null references workspace,
    usage_meter int not null references usage_meter,
    version int not null check (version >= 1),
    definition jsonb not null,
    active_from bigint,
    active_until bigint,
    created_at timestamptz not null,
    unique (usage_meter, version),
    check (active_until is null or active_until > active_from)
);
comment on column usage_meter_version.active_from is 'the first catalog version at which admission applies this version of the meter';

create table add_on (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    wire_id text collate "C" not null,
    name text collate "C" not null,
    type text not null check (type in ('LICENSE', 'FIXED_FEE', 'CREDIT_GRANT', 'NAMED_LICENSE')),
    billable_name text,
    status text not null check (status in ('ACTIVE', 'ARCHIVED')),
    created_at timestamptz not null,
    updated_at timestamptz not null,
    unique (workspace, wire_id)
);
create unique index add_on_name on add_on (workspace, name) where status <> 'ARCHIVED';
create index add_on_recent on add_on (workspace, key);

create table feature (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    wire_id text collate "C" not null,
    name text collate "C" not null,
    billable_name text,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    unique (workspace, wire_id),
    unique (workspace, name)
);
create index feature_recent on feature (workspace, key);

-- Whose units an event of a schema draws: as many as one of its attributes says.
create table feature_schema (
    event_schema int primary key references event_schema,
    workspace int not null references workspace,
    feature bigint not null references feature,
    attribute text collate "C" not null,
    position int not null
);
create index feature_schema_feature on feature_schema (feature, position);

create table price_plan (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    wire_id text collate "C" not null,
    name text collate "C" not null,
    type text not null check (type in ('BILLING', 'PURCHASE')),
    description text,
    status text not null check (status in ('DRAFT', 'ACTIVE', 'ARCHIVED')),
    created_at timestamptz not null,
    updated_at timestamptz not null,
    unique (workspace, wire_id)
);
create unique index price_plan_name on price_plan (workspace, name) where status <> 'ARCHIVED';
create index price_plan_recent on price_plan (workspace, key);

create table price_plan_version (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    price_plan bigint not null references price_plan,
    wire_id text collate "C" not null,
    version int not null check (version >= 1),
    revision int not null check (revision >= 1),
    details jsonb not null,
    created_at timestamptz not null,
    override_of bigint references price_plan_version,
    override jsonb,
    unique (workspace, wire_id, revision),
    check ((override is null) = (override_of is null))
);
create unique index price_plan_version_one on price_plan_version (price_plan, version, revision) where override_of is null;
comment on column price_plan_version.override_of is 'the version that this one is for a single association, with the parts in override put in its place; null: a version of the plan itself';
comment on column price_plan_version.revision is 'counts what a version said before anybody was on it, or before currencies were added to it: the last one counts';

create table price_plan_currency (
    price_plan_version bigint not null references price_plan_version,
    workspace int not null references workspace,
    currency text collate "C" not null,
    activated_at timestamptz not null,
    primary key (price_plan_version, currency)
);

-- usage ------------------------------------------------------------------------------------------------------------

create sequence event_chunk;

-- Pass the gate of a workspace until the transaction ends, as `enter_gate`, and tell whether it stands at this version still
-- and none of the tokens has ended by then. What is asked for behind the gate is as those who held it left it, because each
-- statement of a function sees what was committed before it. The lock is taken in an expression: that is no statement.
create function gate_passed(place int, expected bigint, tokens bigint[], wall timestamptz) returns boolean
    language plpgsql as $$
begin
    if pg_advisory_xact_lock_shared(7215002, place) is null then
        return false;
    end if;
    return exists (select from workspace w where w.key = place and w.version = expected
        and not exists (
            select from token t where t.key = any(tokens) and (t.revoked_at is not null or t.expires_at <= wall)));
end $$;

-- One row per event id and workspace: this key decides what is new. Not partitioned by time, so that an id stays taken.
create table event_key (
    id_hash uuid not null,
    body_hash bigint not null,
    account bigint,
    catalog_version bigint not null,
    occurred_at timestamptz not null,
    received_at timestamptz not null,
    chunk bigint not null,
    workspace int not null,
    event_schema int,
    position int not null,
    state smallint not null,
    reason text not null default '',
    primary key (id_hash)
);
-- Its new pages are summarized every minute by the worker. PostgreSQL's own way keeps 256 requests for it, of which a
-- load makes as many in a second, and then writes two lines into its log for each that it drops.
create index event_key_chunk on event_key using brin (chunk) with (pages_per_range = 16);
create index event_key_refused on event_key (workspace, chunk, position) where state < 0;

-- Which events an account has: an index on account and time, but kept by the thousand instead of one by one, which was a
-- third of what an event cost PostgreSQL. A flush writes one row of all that it stores for a workspace; a moment later
-- these become rows of one account each. Both say where to look, not what is there: an event that was replaced or
-- changed since leaves its entry behind, and may have two. Ticks are microseconds since the year 2000.
create table event_unlisted (
    workspace int not null,
    key bigint generated always as identity,
    chunk bigint not null,
    events int not null,
    accounts bigint[] not null,
    ticks bigint[] not null,
    ids uuid[] not null,
    primary key (workspace, key)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
    toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 10000);
alter table event_unlisted alter column accounts set storage external, alter column ticks set storage external,
    alter column ids set storage external;

create table event_listing (
    workspace int not null,
    account bigint not null,
    key bigint generated always as identity,
    events int not null,
    first_tick bigint not null,
    last_tick bigint not null,
    first_chunk bigint not null,
    last_chunk bigint not null,
    ticks bigint[] not null,
    ids uuid[] not null,
    primary key (account, last_chunk, key)
);
create index event_listing_time on event_listing (account, last_tick);
alter table event_listing alter column ticks set storage external, alter column ids set storage external;
comment on column event_listing.ids is 'hashes of the ids of its events, one for each of its ticks';

create view event_entry with (security_invoker = true) as
select workspace, account, first_tick, last_tick, first_chunk, last_chunk, unnest(ticks) as tick, unnest(ids) as id_hash
from event_listing
union all
select workspace, account, tick, tick, chunk, chunk, tick, id_hash
from (select workspace, chunk, unnest(accounts) as account, unnest(ticks) as tick, unnest(ids) as id_hash from event_unlisted) u;

-- Deliveries of an id that was already taken, and attempts that a later one replaced.
create table event_repeat (
    key bigint generated always as identity primary key,
    workspace int not null,
    id_hash uuid not null,
    body_hash bigint not null,
    account bigint,
    occurred_at timestamptz not null,
    received_at timestamptz not null,
    chunk bigint not null,
    event_schema int,
    position int not null,
    state smallint not null,
    conflict boolean not null,
    reason text
);
create index event_repeat_id on event_repeat (workspace, id_hash);
create index event_repeat_chunk on event_repeat (workspace, chunk, position);
create index event_repeat_conflict on event_repeat (workspace, chunk, position) where conflict;

-- What was sent, as it was sent: the request bodies of one workspace and flush, zstd-compressed.
create table event_body (
    chunk bigint not null,
    received_at timestamptz not null,
    workspace int not null,
    events int not null,
    content bytea not null,
    primary key (chunk, received_at)
) partition by range (received_at);
create table event_body_default partition of event_body default;
alter table event_body_default alter column content set storage external;
create index event_body_workspace on event_body (workspace, chunk);

-- A day's partition, made ahead of its time. Where the default one has taken in rows of the day, it keeps the day.
create function event_body_partition(day date) returns void language plpgsql as $$
declare
    name text := 'event_body_' || to_char(day, 'YYYYMMDD');
begin
    if to_regclass(name) is not null
        or exists (select from event_body_default where received_at >= day and received_at < day + 1) then
        return;
    end if;
    execute format('create table %I partition of event_body for values from (%L) to (%L)', name, day, day + 1);
    execute format('alter table %I alter column content set storage external', name);
end $$;

-- What events say of names that have licences. Those that count are the ones whose events were let in and not undone.
create table named_license_event (
    key bigint generated always as identity primary key,
    workspace int not null,
    event uuid not null unique,
    account bigint not null,
    add_on bigint not null references add_on,
    name text collate "C" not null,
    change smallint not null check (change in (1, -1)),
    occurred_at timestamptz not null,
    received_at timestamptz not null
);
create index named_license_event_name on named_license_event (account, add_on, name, occurred_at, key);
create index named_license_event_recent on named_license_event (workspace, key);
comment on column named_license_event.change is '1: the name has the licence from then on; -1: no longer';

-- What was measured, in 15-minute buckets of UTC.
create table usage_rollup (
    account bigint not null,
    bucket timestamptz not null,
    workspace int not null,
    meter_version int not null,
    events bigint not null,
    quantity numeric not null,
    primary key (workspace, account, meter_version, bucket)
) with (fillfactor = 50);

-- The same by day of UTC: a month of an account is thirty rows of each meter here, and three thousand there.
create table usage_day (
    account bigint not null,
    day timestamptz not null,
    workspace int not null,
    meter_version int not null,
    quantity numeric not null,
    primary key (workspace, account, meter_version, day)
) with (fillfactor = 50);
comment on column usage_day.day is 'its first instant';

-- What flushes measured and nobody has added to the rollups yet: a few rows a flush, each of many sums. They live for
-- a second and go, so what is left of them is cleared away often. Not worth compressing either.
create table usage_delta (
    workspace int not null,
    key bigint generated always as identity,
    share smallint,
    accounts bigint[] not null,
    meter_versions int[] not null,
    buckets int[] not null,
    events int[] not null,
    quantities numeric[] not null,
    primary key (workspace, key)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
    toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 10000);
alter table usage_delta alter column accounts set storage external, alter column meter_versions set storage external,
    alter column buckets set storage external, alter column events set storage external,
    alter column quantities set storage external;
comment on column usage_delta.share is 'the remainder of its accounts; null: of any';
comment on column usage_delta.buckets is 'quarters of an hour since the year 2000';

-- Sum by sum. An interval times a double: whole quarters of an hour are exact in one beyond the year 9999.
create view usage_delta_sum with (security_invoker = true) as
select workspace, share, account, meter_version,
    timestamptz '2000-01-01 00:00:00+00' + bucket * interval '15 minutes' as bucket, events, quantity
from (
    select workspace, share, unnest(accounts) as account, unnest(meter_versions) as meter_version,
        unnest(buckets) as bucket, unnest(events) as events, unnest(quantities) as quantity
    from usage_delta
) s;

create table usage_counter (
    workspace int not null,
    day date not null,
    flusher smallint not null,
    received bigint not null,
    metered bigint not null,
    unmetered bigint not null,
    duplicate bigint not null,
    rejected bigint not null,
    pending bigint not null,
    reverted bigint not null,
    primary key (workspace, day, flusher)
) with (fillfactor = 50);

-- How far an import of a file came that is not at its end.
create table import_mark (
    workspace int not null references workspace,
    source bytea not null,
    position bigint not null,
    line bigint not null,
    digest bytea not null,
    rows bigint not null,
    known bigint not null,
    rejected bigint not null,
    rejects_size bigint not null,
    recorded_at timestamptz not null,
    primary key (workspace, source)
);
comment on column import_mark.source is 'stands for the format, the mapping and the beginning of the file';
comment on column import_mark.digest is 'of all of the file before the mark: another file does not go on there';

-- ledger -----------------------------------------------------------------------------------------------------------

create table ledger_account (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    kind text not null check (kind in ('wallet', 'receivable', 'deferred', 'credit', 'cash', 'revenue', 'tax',
        'discount', 'rounding', 'breakage', 'write_off', 'payable', 'adjustment')),
    account bigint references account,
    detail text collate "C" not null,
    currency text collate "C" not null,
    unique nulls not distinct (workspace, kind, account, detail, currency)
);
comment on column ledger_account.detail is 'what sets apart accounts of one kind: the plan line of revenue, the grant of credit; else empty';

create table ledger_balance (
    ledger_account bigint primary key references ledger_account,
    workspace int not null references workspace,
    balance numeric(38, 12) not null,
    watch smallint not null default 0 check (watch between 0 and 2),
    held numeric(38, 12) not null default 0 check (held >= 0)
) with (fillfactor = 50);
comment on column ledger_balance.watch is 'of a wallet: 1 fallen below the low threshold, 2 risen above the high one, 0 neither';
comment on column ledger_balance.held is 'of a wallet: what its open holds come to, those included whose time is over and that nobody has closed yet';

create table ledger_transaction (
    key bigint generated always as identity primary key,
    workspace int not null,
    cause text not null,
    cause_key bigint,
    description text not null,
    accounting_date date not null,
    recorded_at timestamptz not null
);
create index ledger_transaction_cause on ledger_transaction (workspace, cause, cause_key);
comment on column ledger_transaction.workspace is 'that of its postings, and so of ledger accounts, which is known to be one';

create table posting (
    transaction bigint not null,
    line int not null,
    workspace int not null,
    ledger_account bigint not null,
    currency text collate "C" not null,
    amount numeric(38, 12) not null check (amount <> 0),
    primary key (transaction, line)
);
create index posting_account on posting (ledger_account, transaction);
comment on column posting.amount is 'debit positive, credit negative';

-- One look at all rows of a statement: it balances, and each row belongs to a transaction and a ledger account of its
-- workspace and currency. Foreign keys would say less, row by row; what they point to can never be removed.
create function posting_balances() returns trigger language plpgsql
    -- As the owner, whom no policy binds: a condition on the workspace invites to go through all of its rows.
    security definer set search_path from current
    -- Its plans are kept for as long as a connection: made while the tables were empty, they would scan them for ever.
    set enable_seqscan = off as $$
declare
    offender record;
begin
    select transaction, currency, sum(amount) as total into offender
    from inserted group by transaction, currency having sum(amount) <> 0 limit 1;
    if found then
        raise exception 'transaction % does not balance: % % is left over', offender.transaction, offender.total, offender.currency
            using errcode = 'check_violation';
    end if;
    -- Asked for by its key alone, each is one look at the key's index; a join might go through all of the workspace.
    select i.transaction, i.line into offender
    from (select transaction, workspace, min(line) as line from inserted group by transaction, workspace) i
    where (select t.workspace from ledger_transaction t where t.key = i.transaction) is distinct from i.workspace limit 1;
    if not found then
        select i.transaction, i.line into offender
        from (select ledger_account, workspace, currency, min(transaction) as transaction, min(line) as line
            from inserted group by ledger_account, workspace, currency) i
        where (select row(a.workspace, a.currency) from ledger_account a where a.key = i.ledger_account)
            is distinct from row(i.workspace, i.currency) limit 1;
    end if;
    if found then
        raise exception 'line % of transaction % has no such transaction or ledger account in its workspace and currency',
            offender.line, offender.transaction using errcode = 'foreign_key_violation';
    end if;
    return null;
end $$;
create trigger posting_balances after insert on posting
    referencing new table as inserted for each statement execute function posting_balances();

-- The thresholds of accounts that have any, as they are when it is called: a statement of a function sees what was committed before
-- it, that is also what was set while the statement that calls it waited for wallets.
create function thresholds_in_force(accounts bigint[]) returns table (account bigint, low numeric, high numeric)
    language plpgsql volatile as $$
begin
    return query select t.account, t.balance_low_threshold, t.balance_high_threshold from account_terms t
    where t.account = any(accounts) and (t.balance_low_threshold is not null or t.balance_high_threshold is not null);
end $$;

-- What was set of the wallet of an account; one of which nothing was set is active, and has been all along.
create table wallet (
    account bigint primary key references account,
    workspace int not null references workspace,
    status text not null check (status in ('ACTIVE', 'INACTIVE')),
    effective_from timestamptz,
    updated_at timestamptz not null
);
comment on column wallet.effective_from is 'before then nothing is put in or taken out at the Togai door; null: from the beginning';

-- Each time that a wallet passed a threshold of its account.
create table balance_notification (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    account bigint not null references account,
    event smallint not null check (event between 1 and 4),
    balance numeric(38, 12) not null,
    low numeric(38, 12),
    high numeric(38, 12),
    occurred_at timestamptz not null
);
create index balance_notification_account on balance_notification (account, key);
comment on column balance_notification.event is '1 low cleared, 2 high cleared, 3 low reached, 4 high reached';
create trigger balance_notification_append_only before update or delete or truncate on balance_notification
    for each statement execute function append_only();

-- Money that an account has in advance: given, or paid for. What is left of it is owed, in a ledger account of its own whose
-- detail is the id.
create table credit (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    wire_id text collate "C" not null,
    account bigint not null references account,
    currency text not null,
    purpose text not null,
    entities text[] not null,
    priority int not null,
    effective_from date not null,
    effective_until date,
    starts_at timestamptz not null,
    ends_at timestamptz,
    grantor_id text,
    idempotency_key text collate "C",
    granted numeric(38, 12) not null check (granted > 0),
    paid numeric(38, 12) not null check (paid between 0 and granted),
    consumed numeric(38, 12) not null default 0 check (consumed >= 0),
    lapsed numeric(38, 12) not null default 0 check (lapsed >= 0),
    voided_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    unique (workspace, wire_id),
    unique (account, idempotency_key),
    check (consumed + lapsed <= granted),
    check (starts_at < ends_at)
);
create index credit_open on credit (account, key) where granted > consumed + lapsed;
create index credit_ending on credit (workspace, ends_at) where granted > consumed + lapsed;
create index credit_recent on credit (workspace, key);
comment on column credit.entities is 'what it may be used for; none: everything';
comment on column credit.paid is 'how much of it was paid for';
comment on column credit.lapsed is 'what expired or was voided';

-- Every change of what is left of a credit.
create table credit_entry (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    credit bigint not null references credit,
    kind text not null check (kind in ('CREDITED', 'DEBITED', 'EXPIRED', 'VOIDED')),
    amount numeric(38, 12) not null check (amount > 0),
    invoice_id text collate "C",
    recorded_at timestamptz not null,
    check (invoice_id is not null or kind <> 'DEBITED')
);
create index credit_entry_credit on credit_entry (credit, key);
create index credit_entry_invoice on credit_entry (workspace, invoice_id) where invoice_id is not null;
comment on column credit_entry.invoice_id is 'the invoice that it was used for; with CREDITED: that gave it back';
create trigger credit_entry_append_only before update or delete or truncate on credit_entry
    for each statement execute function append_only();

create trigger posting_append_only before update or delete or truncate on posting
    for each statement execute function append_only();
create trigger ledger_account_append_only before update or delete or truncate on ledger_account
    for each statement execute function append_only();
create trigger ledger_transaction_append_only before update or delete or truncate on ledger_transaction
    for each statement execute function append_only();
create trigger price_plan_version_append_only before update or delete or truncate on price_plan_version
    for each statement execute function append_only();
create trigger setting_version_append_only before update or delete or truncate on setting_version
    for each statement execute function append_only();
create trigger event_schema_version_append_only before update or delete or truncate on event_schema_version
    for each statement execute function append_only();

-- Holds of money and of feature units are counted together, so that they are listed in one order.
create sequence hold_key;

-- Money of a wallet that is set aside for a time. Whoever changes one holds the wallet's balance.
create table wallet_hold (
    key bigint primary key default nextval('hold_key'),
    workspace int not null,
    wire_id text collate "C" not null,
    ledger_account bigint not null,
    amount numeric(38, 12) not null check (amount > 0),
    status text not null default 'OPEN' check (status in ('OPEN', 'SETTLED', 'RELEASED', 'EXPIRED')),
    settled numeric(38, 12) check (settled between 0 and amount),
    description text,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    closed_at timestamptz,
    unique (workspace, wire_id),
    check ((status = 'SETTLED') = (settled is not null)),
    check ((status = 'OPEN') = (closed_at is null)),
    check (created_at < expires_at)
);
create index wallet_hold_listed on wallet_hold (workspace, key);
create index wallet_hold_open on wallet_hold (ledger_account, expires_at) where status = 'OPEN';
create index wallet_hold_due on wallet_hold (workspace, expires_at) where status = 'OPEN';

-- As `posting_balances`: one look at the wallets of a statement's holds instead of two foreign keys for each row.
create function wallet_hold_belongs() returns trigger language plpgsql
    security definer set search_path from current set enable_seqscan = off as $$
declare
    offender record;
begin
    select i.key into offender
    from (select ledger_account, workspace, min(key) as key from inserted group by ledger_account, workspace) i
    where (select a.workspace from ledger_account a where a.key = i.ledger_account and a.kind = 'wallet')
        is distinct from i.workspace limit 1;
    if found then
        raise exception 'hold % is of no wallet of its workspace', offender.key using errcode = 'foreign_key_violation';
    end if;
    return null;
end $$;
create trigger wallet_hold_belongs after insert on wallet_hold
    referencing new table as inserted for each statement execute function wallet_hold_belongs();

-- purchases --------------------------------------------------------------------------------------------------------

create table schedule (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    wire_id text collate "C" not null,
    account bigint not null references account,
    price_plan bigint not null references price_plan,
    starts_at timestamptz not null,
    recorded_at timestamptz not null,
    unique (workspace, wire_id)
);
create index schedule_plan on schedule (price_plan);
comment on column schedule.starts_at is 'when the association began: its cycles are counted from there';

create table schedule_segment (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    schedule bigint not null references schedule,
    account bigint not null references account,
    price_plan_version bigint not null references price_plan_version,
    starts_at timestamptz not null,
    ends_at timestamptz not null,
    calendar jsonb not null,
    grace_days int not null check (grace_days >= 0),
    recorded_at timestamptz not null,
    superseded_at timestamptz,
    opens_at timestamptz,
    check (starts_at < ends_at),
    constraint schedule_segment_one_plan
        exclude using gist (account with =, tstzrange(starts_at, ends_at) with &&) where (superseded_at is null)
);
create index schedule_segment_account on schedule_segment (account, starts_at);
create index schedule_segment_schedule on schedule_segment (schedule);
create index schedule_segment_opens on schedule_segment (workspace, opens_at) where opens_at is not null;
comment on column schedule_segment.opens_at is 'when invoicing looks at the segment next: as its next cycle opens, or at once where it was superseded after cycles had opened; null: never again';

-- What a carrier sells beside calls: kinds of services, services of accounts, the free minutes that they give, and what was
-- charged to balances for them or by hand. Words of states and periods are those of the carrier's door.
create table service_type (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    yeti_id bigint not null,
    name text not null,
    force_renew boolean not null,
    provisioning_class text not null,
    variables jsonb,
    hidden_at timestamptz,
    unique (workspace, yeti_id)
);
create unique index service_type_name on service_type (workspace, name) where hidden_at is null;
comment on column service_type.force_renew is 'its services renew whether or not the balance allows it';
comment on column service_type.hidden_at is 'when a carrier deleted it; services of accounts that were deleted before may still be of it';

create table service (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    yeti_id bigint not null,
    uuid uuid not null unique default gen_random_uuid(),
    account bigint not null references account,
    service_type bigint not null references service_type,
    name text,
    variables jsonb,
    state text not null check (state in ('Active', 'Suspended')),
    initial_price numeric(38, 12) not null,
    renew_price numeric(38, 12) not null,
    renew_period text check (renew_period in ('Day', 'Month')),
    renew_at timestamptz,
    due_at timestamptz,
    created_at timestamptz not null,
    unique (workspace, yeti_id),
    check ((renew_period is null) = (renew_at is null)),
    check ((renew_period is null) = (due_at is null)),
    check (due_at >= renew_at)
);
create index service_due on service (workspace, due_at, key) where due_at is not null;
create index service_account on service (account);
create index service_of_type on service (service_type);
comment on column service.due_at is 'when renewal is tried next: at renew_at, and every hour while the balance does not allow it';

create table package_counter (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    yeti_id bigint not null,
    account bigint not null references account,
    service bigint not null references service,
    prefix text collate "C" not null,
    duration int not null,
    exclude boolean not null,
    unique (workspace, yeti_id),
    unique (service, prefix)
);
create index package_counter_account on package_counter (account, prefix);
comment on column package_counter.duration is 'seconds left; calls may take it below zero';

create table charge (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    yeti_id bigint not null,
    uuid uuid not null unique default gen_random_uuid(),
    account bigint not null references account,
    service bigint references service,
    amount numeric(38, 12) not null check (amount <> 0),
    description text,
    created_at timestamptz not null,
    unique (workspace, yeti_id)
);
create index charge_account on charge (account, created_at);
create index charge_service on charge (service) where service is not null;
comment on column charge.amount is 'what the balance went down by; negative: what it went up by';
create trigger charge_append_only before update or delete or truncate on charge
    for each statement execute function append_only();

-- What an account buys, or was proposed to buy. What it bought never changes; where it stands does.
create table purchase (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    wire_id text collate "C" not null,
    account bigint not null references account,
    type text not null check (type in ('ENTITLEMENT_GRANT', 'ASSOCIATION', 'WALLET_TOPUP', 'PREPAID')),
    payment_mode text not null check (payment_mode in ('PREPAID', 'POSTPAID')),
    proposal text check (proposal in ('ACTIVE', 'APPROVED', 'DECLINED', 'EXPIRED')),
    status text check (status in ('PENDING', 'SUCCESS', 'FAILURE')),
    price_plan_version bigint references price_plan_version,
    quantity int check (quantity >= 1),
    quantities jsonb,
    effective_from date,
    effective_until date,
    topup_amount numeric(38, 12) check (topup_amount > 0),
    purchase_amount numeric(38, 12) check (purchase_amount >= 0),
    price numeric(38, 12) not null check (price >= 0),
    currency text not null,
    idempotency_key text,
    comment text,
    schedule bigint references schedule,
    expires_at timestamptz,
    answered_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    unique (workspace, wire_id),
    check ((status is null) = coalesce(proposal <> 'APPROVED', false)),
    check (schedule is null or type = 'ASSOCIATION' and status = 'SUCCESS')
);
create index purchase_account on purchase (account, key);
create index purchase_schedule on purchase (schedule) where schedule is not null;
create index purchase_expiring on purchase (workspace, expires_at) where status = 'PENDING' or proposal = 'ACTIVE';
comment on column purchase.proposal is 'null: it was bought without one';
comment on column purchase.status is 'null: it is a proposal that has not been approved';
comment on column purchase.quantities is 'how many times each billable is bought, by its wire id';
comment on column purchase.purchase_amount is 'what a top-up costs';
comment on column purchase.expires_at is 'when a proposal without an answer, or an order without payment, comes to its end';

-- What an account may use of a feature. Its row is locked by whoever changes its grants.
create table feature_balance (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    account bigint not null references account,
    feature bigint not null references feature,
    balance numeric(38, 12) not null check (balance >= 0),
    unique (account, feature)
) with (fillfactor = 50);
comment on column feature_balance.balance is 'units left of its grants that have a limit and are not voided, expired ones included';

create table feature_grant (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    feature_balance bigint not null references feature_balance,
    wire_id text collate "C" not null,
    source text not null check (source in ('ENTITLEMENT', 'PRICE_PLAN', 'OVERAGE', 'REFUND')),
    effective_from timestamptz not null,
    effective_until timestamptz not null,
    granted numeric(38, 12) check (granted >= 0),
    used numeric(38, 12) not null check (used >= 0),
    voided_at timestamptz,
    purchase bigint references purchase,
    created_at timestamptz not null,
    held numeric(38, 12) not null default 0 check (held >= 0),
    schedule bigint references schedule,
    unique (feature_balance, wire_id),
    check (purchase is null or schedule is null),
    check (effective_from < effective_until),
    check (used <= granted),
    check (granted is not null or source = 'OVERAGE')
) with (fillfactor = 50);
create index feature_grant_purchase on feature_grant (purchase) where purchase is not null;
create index feature_grant_schedule on feature_grant (schedule, effective_from) where schedule is not null;
create index feature_grant_live on feature_grant (feature_balance, effective_until) where voided_at is null;
comment on column feature_grant.schedule is 'the association that gives it, as the cycles of it run';
comment on column feature_grant.granted is 'null: without limit';
comment on column feature_grant.held is 'what open holds have of it, those included whose time is over and that nobody has closed yet';

-- Which purchase, or cycle of an association, gave a credit: the same gives each but once.
create table plan_credit (
    credit bigint primary key references credit,
    workspace int not null references workspace,
    purchase bigint references purchase,
    schedule bigint references schedule,
    add_on int not null references add_on,
    starts_at timestamptz not null,
    unique (purchase, add_on),
    unique (schedule, add_on, starts_at),
    check ((purchase is null) <> (schedule is null))
);
comment on column plan_credit.starts_at is 'when the cycle begins for the association, or when the purchase was carried out';

-- Units of a feature that are set aside for a time. Whoever changes one holds the feature's balance.
create table feature_hold (
    key bigint primary key default nextval('hold_key'),
    workspace int not null references workspace,
    wire_id text collate "C" not null,
    feature_balance bigint not null references feature_balance,
    amount numeric(38, 12) not null check (amount > 0),
    status text not null default 'OPEN' check (status in ('OPEN', 'SETTLED', 'RELEASED', 'EXPIRED')),
    settled numeric(38, 12) check (settled between 0 and amount),
    description text,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    closed_at timestamptz,
    unique (workspace, wire_id),
    check ((status = 'SETTLED') = (settled is not null)),
    check ((status = 'OPEN') = (closed_at is null)),
    check (created_at < expires_at)
);
create index feature_hold_listed on feature_hold (workspace, key);
create index feature_hold_due on feature_hold (workspace, expires_at) where status = 'OPEN';

-- Of which grants an open hold has its units; gone once it is closed.
create table feature_hold_part (
    feature_hold bigint not null references feature_hold,
    place int not null,
    workspace int not null references workspace,
    feature_grant bigint not null references feature_grant,
    amount numeric(38, 12) not null check (amount > 0),
    expires_at timestamptz not null,
    primary key (feature_hold, place)
);
create index feature_hold_part_grant on feature_hold_part (feature_grant, expires_at);

-- Every change of what a grant holds.
create table feature_entry (
    key bigint generated always as identity primary key,
    workspace int not null,
    feature_grant bigint not null,
    kind text not null check (kind in ('GRANT', 'DRAW', 'RETURN', 'SETTLE', 'EDIT', 'VOID')),
    amount numeric(38, 12) not null,
    event uuid,
    feature_hold bigint,
    recorded_at timestamptz not null,
    check ((kind in ('DRAW', 'RETURN')) = (event is not null)),
    check ((kind = 'SETTLE') = (feature_hold is not null)),
    check (amount < 0 or kind not in ('DRAW', 'SETTLE')),
    check (amount > 0 or kind <> 'RETURN'),
    check (amount <= 0 or kind <> 'VOID')
);
create index feature_entry_event on feature_entry (event) where event is not null;
create unique index feature_entry_hold on feature_entry (feature_hold, feature_grant) where feature_hold is not null;

-- As `posting_balances`: one look at the grants and holds of a statement's entries instead of three foreign keys for each row.
create function feature_entry_belongs() returns trigger language plpgsql
    security definer set search_path from current set enable_seqscan = off as $$
declare
    offender record;
begin
    select i.key into offender
    from (select feature_grant, feature_hold, workspace, min(key) as key from inserted
        group by feature_grant, feature_hold, workspace) i
    where (select g.workspace from feature_grant g where g.key = i.feature_grant) is distinct from i.workspace
        or i.feature_hold is not null
        and (select h.workspace from feature_hold h where h.key = i.feature_hold) is distinct from i.workspace limit 1;
    if found then
        raise exception 'entry % has no such grant or hold in its workspace', offender.key
            using errcode = 'foreign_key_violation';
    end if;
    return null;
end $$;
create trigger feature_entry_belongs after insert on feature_entry
    referencing new table as inserted for each statement execute function feature_entry_belongs();
create trigger feature_grant_stays before delete or truncate on feature_grant
    for each statement execute function append_only();
create trigger feature_hold_stays before delete or truncate on feature_hold
    for each statement execute function append_only();

-- How many licences an account has of an add-on from an instant on. Whoever adds one holds the account's row; a later
-- RELATIVE one moves along with what comes before it.
create table license_update (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    account bigint not null references account,
    add_on bigint not null references add_on,
    effective_from timestamptz not null,
    kind text not null check (kind in ('RELATIVE', 'ABSOLUTE')),
    amount numeric(38, 12) not null,
    quantity numeric(38, 12) not null check (quantity >= 0),
    metadata jsonb,
    created_at timestamptz not null,
    check (kind = 'RELATIVE' or amount = quantity)
);
create index license_update_held on license_update (account, add_on, effective_from, key);
create index license_update_recent on license_update (workspace, key);
comment on column license_update.amount is 'what was sent: so many, or so many more';
comment on column license_update.quantity is 'how many there are from then on';

-- invoicing --------------------------------------------------------------------------------------------------------

create table invoice (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    wire_id text collate "C" not null,
    account bigint not null references account,
    schedule bigint references schedule,
    segment bigint references schedule_segment,
    type text not null check (type in ('STANDARD', 'AD_HOC', 'CUSTOM', 'COMPOSITE', 'STANDARD_ADVANCED', 'ADHOC_ADVANCED')),
    class text not null check (class in ('INVOICE', 'ORDER', 'BILLABLE')),
    status text not null check (status in ('DRAFT', 'DUE', 'PAID', 'VOID', 'UN_COLLECTIBLE', 'REFUND_INITIATED',
        'REFUND_COMPLETED', 'MERGED', 'PARTIALLY_PAID')),
    starts_at timestamptz not null,
    ends_at timestamptz not null,
    due_at timestamptz not null,
    release_at timestamptz,
    paid_amount numeric(38, 12) not null default 0,
    uses_wallet boolean not null default true,
    uses_credits boolean not null default true,
    auto_advance boolean not null default true,
    invoice_group bigint,
    merged_on date,
    merged_into bigint references invoice,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    unique (workspace, wire_id),
    check (starts_at < ends_at)
);
create unique index invoice_one_per_cycle on invoice (account, schedule, starts_at, type) where schedule is not null;
create index invoice_account on invoice (account, workspace, starts_at);
create index invoice_recent on invoice (workspace, key);
create index invoice_period on invoice (workspace, ends_at);
create index invoice_release on invoice (workspace, release_at) where release_at is not null;
create index invoice_due on invoice (workspace, due_at, key) where status = 'DRAFT' and schedule is not null;
comment on column invoice.release_at is 'when the next part of fees charged in advance becomes revenue; null: nothing is deferred any more';
create index invoice_open on invoice (workspace, due_at, key) where status in ('DUE', 'PARTIALLY_PAID');
comment on column invoice.paid_amount is 'what came in for it and was not given back: the sum of its invoice_payment rows';
create index invoice_custom_due on invoice (workspace, due_at, key) where status = 'DRAFT' and type = 'CUSTOM' and auto_advance;
create unique index invoice_one_composite on invoice (invoice_group, merged_on) where type = 'COMPOSITE';
create index invoice_merged on invoice (merged_into) where merged_into is not null;
comment on column invoice.invoice_group is 'to whom it is, where not to its account, which owes it all the same';
comment on column invoice.merged_on is 'the day whose invoices a composite is of';
comment on column invoice.merged_into is 'the composite that it is or was a part of';
comment on column invoice.uses_credits is 'whether credits of its account pay it as it is issued';
comment on column invoice.auto_advance is 'whether a bill run issues it';
comment on column invoice.uses_wallet is 'whether it is paid out of its account''s wallet without being asked';
comment on column invoice.due_at is 'when grace has ended and the bill run may issue it';

-- The invoice that a purchase is to be paid by.
create table purchase_order (
    purchase bigint primary key references purchase,
    workspace int not null references workspace,
    invoice bigint not null unique references invoice
);

create table invoice_document (
    invoice bigint primary key references invoice,
    workspace int not null references workspace,
    series text collate "C" not null,
    number bigint not null,
    currency text not null,
    total numeric(38, 12) not null,
    content bytea not null,
    parties bytea not null,
    hash bytea not null,
    issued_at timestamptz not null,
    invoice_date timestamptz not null,
    pay_by timestamptz not null,
    unique (workspace, series, number)
);
comment on column invoice_document.content is 'the canonical JSON text, compressed by zstd; the hash is of the text';
create trigger invoice_document_append_only before update or delete or truncate on invoice_document
    for each statement execute function append_only();

create table invoice_series (
    workspace int not null references workspace,
    series text collate "C" not null,
    next bigint not null,
    primary key (workspace, series)
);

-- What reduces an issued invoice: in full where it is voided. Numbered in a series of its own.
create table credit_note (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    wire_id text collate "C" not null,
    invoice bigint not null references invoice unique,
    series text collate "C" not null,
    number bigint not null,
    currency text not null,
    total numeric(38, 12) not null check (total >= 0),
    content text not null,
    parties bytea not null,
    hash bytea not null,
    issued_at timestamptz not null,
    unique (workspace, wire_id),
    unique (workspace, series, number)
);
create trigger credit_note_append_only before update or delete or truncate on credit_note
    for each statement execute function append_only();

-- Statements: the invoices of a carrier's accounts. One sums up what happened within [starts_at, ends_at) and posts nothing.
-- Words of states and types are those of the carrier's door. A statement is filled once, and has its breakdown from then on.
create table invoice_template (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    yeti_id bigint not null,
    name text not null,
    html_template text not null,
    unique (workspace, yeti_id),
    unique (workspace, name)
);

create table statement (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    yeti_id bigint not null,
    uuid uuid not null unique default gen_random_uuid(),
    account bigint not null references account,
    currency text not null,
    reference text not null,
    state text not null check (state in ('New', 'Pending', 'Approved')),
    type text not null check (type in ('Manual', 'Auto Full', 'Auto Partial')),
    starts_at timestamptz not null,
    ends_at timestamptz not null,
    originated_amount_spent numeric(38, 12) not null default 0,
    originated_amount_earned numeric(38, 12) not null default 0,
    originated_calls_count bigint not null default 0,
    originated_successful_calls_count bigint not null default 0,
    originated_calls_duration bigint not null default 0,
    originated_billing_duration bigint not null default 0,
    originated_first_call_at timestamptz,
    originated_last_call_at timestamptz,
    terminated_amount_spent numeric(38, 12) not null default 0,
    terminated_amount_earned numeric(38, 12) not null default 0,
    terminated_calls_count bigint not null default 0,
    terminated_successful_calls_count bigint not null default 0,
    terminated_calls_duration bigint not null default 0,
    terminated_billing_duration bigint not null default 0,
    terminated_first_call_at timestamptz,
    terminated_last_call_at timestamptz,
    services_amount_spent numeric(38, 12) not null default 0,
    services_amount_earned numeric(38, 12) not null default 0,
    service_transactions_count bigint not null default 0,
    amount_spent numeric(38, 12) not null
        generated always as (originated_amount_spent + terminated_amount_spent + services_amount_spent) stored,
    amount_earned numeric(38, 12) not null
        generated always as (originated_amount_earned + terminated_amount_earned + services_amount_earned) stored,
    amount_total numeric(38, 12) not null
        generated always as (originated_amount_spent + terminated_amount_spent + services_amount_spent
            - originated_amount_earned - terminated_amount_earned - services_amount_earned) stored,
    created_at timestamptz not null,
    approved_at timestamptz,
    unique (workspace, yeti_id),
    check (starts_at < ends_at),
    check ((state = 'Approved') = (approved_at is not null)),
    constraint statement_one_at_a_time exclude using gist (account with =, tstzrange(starts_at, ends_at) with &&)
);
create index statement_account on statement (account, ends_at);
create index statement_new on statement (workspace, key) where state = 'New';
comment on column statement.originated_calls_duration is 'seconds, as all durations of statements';

-- The calls of a statement by destination: those that the account made, and those that it took.
create table statement_destination (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    yeti_id bigint not null,
    statement bigint not null references statement,
    side text not null check (side in ('originated', 'terminated')),
    dst_prefix text,
    country bigint,
    network bigint,
    rate numeric(38, 12),
    spent boolean not null,
    amount numeric(38, 12) not null,
    calls_count bigint not null,
    successful_calls_count bigint not null,
    calls_duration bigint not null,
    billing_duration bigint not null,
    first_call_at timestamptz,
    last_call_at timestamptz,
    unique (workspace, yeti_id)
);
create index statement_destination_statement on statement_destination (statement);
comment on column statement_destination.spent is 'whether the amount is the account''s cost, not its revenue';

-- The same calls by network.
create table statement_network (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    yeti_id bigint not null,
    statement bigint not null references statement,
    side text not null check (side in ('originated', 'terminated')),
    country bigint,
    network bigint,
    rate numeric(38, 12),
    spent boolean not null,
    amount numeric(38, 12) not null,
    calls_count bigint not null,
    successful_calls_count bigint not null,
    calls_duration bigint not null,
    billing_duration bigint not null,
    first_call_at timestamptz,
    last_call_at timestamptz,
    unique (workspace, yeti_id)
);
create index statement_network_statement on statement_network (statement);

-- What was charged for services, or without one, in the window of a statement: sums without sign.
create table statement_service (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    yeti_id bigint not null,
    statement bigint not null references statement,
    service bigint references service,
    spent boolean not null,
    amount numeric(38, 12) not null,
    transactions_count bigint not null,
    unique (workspace, yeti_id),
    unique nulls not distinct (statement, service, spent)
);
create index statement_service_service on statement_service (service) where service is not null;

-- Why an account's next statement could not be made; gone once it is.
create table statement_failure (
    account bigint primary key references account,
    workspace int not null references workspace,
    ends_at timestamptz not null,
    error text not null,
    recorded_at timestamptz not null
);

-- Money from and to customers outside of invoices; each is one movement of its account's wallet.
create table payment (
    key bigint generated always as identity primary key,
    workspace int not null,
    yeti_id bigint not null,
    uuid uuid not null unique default gen_random_uuid(),
    account bigint not null,
    amount numeric(38, 12) not null check (amount <> 0),
    currency text not null,
    notes text,
    private_notes text,
    type text not null check (type in ('manual', 'cryptomus')),
    status text not null check (status in ('canceled', 'completed', 'pending', 'rolled_back')),
    balance_before numeric(38, 12),
    created_at timestamptz not null,
    rolled_back_at timestamptz,
    unique (workspace, yeti_id),
    check (balance_before is not null or status in ('canceled', 'pending')),
    check ((rolled_back_at is null) = (status <> 'rolled_back'))
);
create index payment_account on payment (account, key);

-- One look at all rows of a statement: each is of an account of its workspace. A foreign key would say the same row by row, and lock
-- each account; accounts never go, nor do they change their workspace, since their profiles refer to both.
create function payment_has_account() returns trigger language plpgsql
    -- As the owner, whom no policy binds, and by index: as `posting_balances`.
    security definer set search_path from current set enable_seqscan = off as $$
declare
    offender record;
begin
    select p.key, p.account into offender from paid p
    where not exists (select from account a where a.workspace = p.workspace and a.key = p.account offset 0) limit 1;
    if found then
        raise exception 'payment % is of account %, which its workspace does not have', offender.key, offender.account
            using errcode = 'foreign_key_violation';
    end if;
    return null;
end $$;
create trigger payment_of_account after insert on payment
    referencing new table as paid for each statement execute function payment_has_account();
create trigger payment_of_account_still after update of workspace, account on payment
    for each statement execute function append_only();

-- Every change of what is paid of an issued invoice; each is one movement of money.
create table invoice_payment (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    invoice bigint not null references invoice,
    source text not null check (source in ('WALLET', 'PAYMENT', 'OUTSIDE')),
    amount numeric(38, 12) not null check (amount <> 0),
    transaction bigint not null,
    paid_at timestamptz not null
);
create index invoice_payment_invoice on invoice_payment (invoice, key);
comment on column invoice_payment.amount is 'below zero: given back';
comment on column invoice_payment.transaction is 'of the ledger';
create trigger invoice_payment_append_only before update or delete or truncate on invoice_payment
    for each statement execute function append_only();

-- Money that has come in, or went back, as it was told with where it belongs. Its lines never change.
create table remittance (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    wire_id text collate "C" not null,
    account bigint not null references account,
    currency text not null,
    amount numeric(38, 12) not null check (amount <> 0),
    description text,
    notes text,
    reference jsonb not null,
    created_by text not null,
    created_at timestamptz not null,
    unique (workspace, wire_id)
);
create index remittance_account on remittance (account, key);
comment on column remittance.reference is 'how the payment is known where it was made';

create table remittance_line (
    remittance bigint not null references remittance,
    workspace int not null references workspace,
    place int not null,
    type text not null check (type in ('INVOICE', 'CREDIT', 'WALLET_CREDIT')),
    wire_id text not null,
    amount numeric(38, 12) not null check (amount <> 0),
    transaction bigint not null,
    primary key (remittance, place)
);
create index remittance_line_transaction on remittance_line (transaction);
comment on column remittance_line.wire_id is 'of the invoice, the credit or the wallet';
create trigger remittance_line_append_only before update or delete or truncate on remittance_line
    for each statement execute function append_only();

-- Charges that were set by hand, as lists: of a draft, or of an account, whose next invoice takes them.
create table miscellaneous_charges (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    account bigint references account,
    invoice bigint references invoice on delete cascade,
    items text not null,
    updated_at timestamptz not null,
    check (account is not null or invoice is not null)
);
create unique index miscellaneous_charges_waiting on miscellaneous_charges (account) where invoice is null;
create unique index miscellaneous_charges_own on miscellaneous_charges (invoice) where account is null;
create index miscellaneous_charges_invoice on miscellaneous_charges (invoice);
comment on column miscellaneous_charges.account is 'whose next invoice takes them, or has taken them; null: given to the invoice itself';

-- The lines of custom invoices, as they were set by hand.
create table custom_invoice (
    invoice bigint primary key references invoice on delete cascade,
    workspace int not null references workspace,
    items text not null
);

-- What corrections of events changed of issued invoices. `invoice` is the one of the event's period, `content` the line.
create table adjustment (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    wire_id text collate "C" not null,
    account bigint not null references account,
    invoice bigint not null references invoice,
    content text not null,
    amount numeric(38, 12) not null,
    open_amount numeric(38, 12) not null,
    recorded_at timestamptz not null,
    unique (workspace, wire_id),
    check (open_amount = 0 or sign(open_amount) = sign(amount) and abs(open_amount) <= abs(amount))
);
create index adjustment_invoice on adjustment (invoice);
create index adjustment_recent on adjustment (workspace, key);
create index adjustment_waiting on adjustment (account, key) where open_amount <> 0;
comment on column adjustment.open_amount is 'what no invoice has taken yet';

create table adjustment_usage (
    adjustment bigint not null references adjustment,
    workspace int not null references workspace,
    usage_meter int not null references usage_meter,
    quantity numeric not null check (quantity <> 0),
    primary key (adjustment, usage_meter)
);
create trigger adjustment_usage_append_only before update or delete or truncate on adjustment_usage
    for each statement execute function append_only();

create table adjustment_part (
    invoice bigint not null references invoice,
    adjustment bigint not null references adjustment,
    workspace int not null references workspace,
    amount numeric(38, 12) not null check (amount <> 0),
    primary key (invoice, adjustment)
);
create index adjustment_part_adjustment on adjustment_part (adjustment);
comment on table adjustment_part is 'what invoices took of adjustments as they were issued';
create trigger adjustment_part_append_only before update or delete or truncate on adjustment_part
    for each statement execute function append_only();

-- Accounts that are billed together. One that was deleted is kept for the documents to it.
create table invoice_group (
    key bigint generated always as identity primary key,
    workspace int not null references workspace,
    wire_id text collate "C" not null,
    name text not null,
    email text not null,
    address jsonb not null,
    secret bytea,
    consolidates boolean not null,
    net_term_days int check (net_term_days >= 0),
    currency text not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    deleted_at timestamptz,
    unique (workspace, wire_id)
);
create index invoice_group_recent on invoice_group (workspace, key);
alter table invoice add foreign key (invoice_group) references invoice_group;
comment on column invoice_group.secret is 'what frozen documents hold of the group is sealed under it; null: erased';
comment on column invoice_group.consolidates is 'whether what falls due on one day is merged into one invoice';

create table invoice_group_account (
    account bigint primary key references account,
    workspace int not null references workspace,
    invoice_group bigint not null references invoice_group,
    place bigint generated always as identity,
    since timestamptz not null
);
create index invoice_group_account_group on invoice_group_account (invoice_group, place);
comment on column invoice_group_account.since is 'what fell due before is not merged';

-- walls ------------------------------------------------------------------------------------------------------------

-- Requests on behalf of a workspace run as bursar_api, which sees that workspace's rows and no others, whatever a
-- statement asks for. The owner (migrations, flushes, jobs) is not bound. The role is made before the migrations run.
do $$
declare
    name text;
begin
    for name in
        select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid
        where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
            and a.attname = case when c.relname = 'workspace' then 'key' else 'workspace' end and not a.attisdropped
    loop
        execute format('alter table %I enable row level security', name);
        execute format(
            'create policy one_workspace on %I to bursar_api using (%I = (select nullif(current_setting(%L, true), %L)::int))',
            name, case when name = 'workspace' then 'key' else 'workspace' end, 'bursar.workspace', '');
        execute format('grant select, insert, update, delete on %I to bursar_api', name);
    end loop;
    execute format('grant usage on schema %I to bursar_api', current_schema());
    execute format('grant usage on all sequences in schema %I to bursar_api', current_schema());
    execute format('alter default privileges in schema %I grant usage on sequences to bursar_api', current_schema());
end $$;

-- What only flushes write, and what nobody changes once it is written.
revoke insert, update, delete on audit_seal, audit_head, event_key, event_unlisted, event_listing, event_repeat, event_body, usage_rollup, usage_day, usage_delta, usage_counter, named_license_event
    from bursar_api;
grant select on usage_delta_sum, event_entry to bursar_api;
revoke update, delete on audit, change_log, ledger_transaction, posting, balance_notification, credit_entry, charge, feature_entry, plan_credit,
    invoice_document, credit_note, invoice_payment, remittance_line, adjustment_usage, adjustment_part from bursar_api;
revoke insert, delete on workspace from bursar_api;
