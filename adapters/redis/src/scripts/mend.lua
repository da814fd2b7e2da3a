-- For a script that must not write and found a key lost, with its keys and arguments: what is lost has been brought
-- back by now, here or by another one.
error({ err = 'RINGHOLD_REBUILT' })
