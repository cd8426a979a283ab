function __continuo_at
	set -l words (commandline -opc | string match -v -- '-*')
	test (string join ' ' -- $words[2..-1] | string collect) = "$argv"
end
complete -c continuo -l home -r -d 'Keeps everything in DIR instead of the user\'s usual directories'
complete -c continuo -l policy -r -d 'Uses this policy file'
complete -c continuo -l json -d 'Prints data as JSON'
complete -c continuo -l log -x -a 'text json ' -d 'Form of the log on standard error'
complete -c continuo -l log-level -x -a 'error warning info debug ' -d 'How much is logged'
complete -c continuo -l help -s h -d 'Prints this text'
complete -c continuo -n '__continuo_at' -f -a run -d 'Runs a client'
complete -c continuo -n '__continuo_at' -f -a vault -d 'The encrypted keys'
complete -c continuo -n '__continuo_at' -f -a check -d 'Checks the policy'
complete -c continuo -n '__continuo_at vault' -f -a set -d 'Stores a secret under a name'
complete -c continuo -n '__continuo_at vault' -f -a list -d 'Lists the names'
complete -c continuo -n '__continuo_at vault set' -l origin -r -d 'Names the only place that this secret may ever be sent to, which nobody can change later without the vault\'s passphrase'
complete -c continuo -n '__continuo_at vault set' -l form -x -a 'raw hex ' -d 'Form of the secret'
complete -c continuo -n '__continuo_at vault set' -l fd -s d -r -d 'Reads it from this descriptor'
complete -c continuo -n '__continuo_at vault set' -l label -r -d 'Adds a label'
complete -c continuo -n '__continuo_at vault set' -l force -s f -d 'Overwrites what is there'
