# shellcheck shell=bash
# shellcheck disable=SC2034 # backup.sh and restore.sh, which source this, use the variables
# How to run PostgreSQL's programs: "${run[@]}" PROGRAM "${connection[@]}".
# With a DATABASE_URL they are those of this machine, which must not be older than the server;
# else those in the Compose project's service postgres.
if [ -n "${DATABASE_URL:-}" ]; then
    run=(env)
    url=$DATABASE_URL
    # The password goes by the environment: everybody may see a program's arguments.
    if [[ $url =~ ^(postgres(ql)?://[^:/?#@]*):([^@/?#]*)@(.*)$ ]]; then
        url=${BASH_REMATCH[1]}@${BASH_REMATCH[4]}
        password=${BASH_REMATCH[3]//\\/\\\\}
        printf -v PGPASSWORD %b "${password//%/\\x}"
        export PGPASSWORD
    fi
    unset DATABASE_URL
    connection=(--dbname "$url")
else
    run=(docker compose exec -T postgres)
    connection=(--username task_scheduler --dbname task_scheduler)
fi
