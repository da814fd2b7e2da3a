-- For a script that found a key lost, with its keys and arguments: what is lost has been brought back by now, here or
-- by another client.
error({ err = 'RINGHOLD_REBUILT' })
